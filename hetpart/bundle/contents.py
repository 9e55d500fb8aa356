"""Everything that goes into a bundle, in memory, before a byte is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hetpart.bundle.digest import describe, pieces
from hetpart.bundle.manifest import Manifest, PlanInfo
from hetpart.bundle.planfile import encode_plan
from hetpart.bundle.toolchain import RUNTIME, Module
from hetpart.errors import InternalError
from hetpart.plan.plan import Plan


@dataclass(frozen=True)
class BundleContents:
    """A manifest (without `files`) and the other files: bytes, or the path of a file to copy."""

    manifest: Manifest
    files: Mapping[str, bytes | Path]


def plan_file(variant: str) -> str:
    """File name of a plan variant: ``plan.bin`` for ``main``."""
    return "plan.bin" if variant == "main" else f"plan-{variant}.bin"


def describe_plans(plans: Mapping[str, Plan]) -> dict[str, PlanInfo]:
    """The manifest's `plans`."""
    return {
        variant: PlanInfo(plan_file(variant), plan.predicted_us, plan.arena_bytes, tuple(plan.processors))
        for variant, plan in plans.items()
    }


def bundle_files(
    plans: Mapping[str, Plan],
    weights: bytes | Path,
    modules: Mapping[str, Module],
    kernels_cl: str,
) -> dict[str, bytes | Path]:
    """The files of a bundle.

    Args:
        plans: by variant; ``main`` must be there, ``cpu`` is what the runtime falls back to without OpenCL.
        weights: the constants that all plans refer to.
        modules: by triple; all of them linked from the same kernels.
        kernels_cl: OpenCL C source; empty if no plan uses it.
    """
    if "main" not in plans:
        raise InternalError("no-main-plan", "a bundle needs a main plan")
    digests = {module.digest for module in modules.values()}
    if len(digests) > 1:
        raise InternalError("mixed-modules", "the modules of a bundle were linked from different kernels")
    loaded: dict[str, bytes | Path] = {"weights.bin": weights}
    loaded |= {f"cpu/{triple}/libmodel.so": module.shared for triple, module in modules.items()}
    if kernels_cl:
        loaded["gpu/kernels.cl"] = kernels_cl.encode()
    parts = {name: describe(pieces(data)) for name, data in loaded.items()}
    files = loaded | {f"cpu/{triple}/model.o": module.relocatable for triple, module in modules.items()}
    for variant, plan in plans.items():
        files[plan_file(variant)] = encode_plan(plan, parts, *digests)
    files["include/hetpart.h"] = RUNTIME / "include" / "hetpart.h"
    files["runtime/CMakeLists.txt"] = RUNTIME / "cmake" / "CMakeLists.txt"
    for source in sorted((RUNTIME / "src").glob("*.[ch]")):
        files[f"runtime/src/{source.name}"] = source
    return files
