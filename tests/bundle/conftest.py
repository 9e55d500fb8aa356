"""Small bundle contents that need no compiler."""

from __future__ import annotations

from pathlib import Path

import pytest

from hetpart.bundle.contents import BundleContents, bundle_files, describe_plans
from hetpart.bundle.manifest import Manifest, NodePlacement, ProcessorInfo, TensorInfo
from hetpart.bundle.toolchain import Module
from hetpart.plan.plan import Plan


@pytest.fixture
def contents(tmp_path: Path) -> BundleContents:
    plan = Plan({"cpu": ()}, (), (), (), 0, 100, predicted_us=1234, kinds={"cpu": "cpu"})
    weights = tmp_path / "weights"
    weights.write_bytes(bytes(range(100)))
    manifest = Manifest(
        model="toy",
        target="sd855",
        tools={"hetpart": "0.1.0", "apache-tvm": "0.27.0"},
        inputs=(TensorInfo("x", "float32", (1, 3, 8, 8)),),
        outputs=(TensorInfo("y", "int64", ()),),
        processors={"cpu": ProcessorInfo("cpu", 4), "gpu": ProcessorInfo("opencl", 1, 1)},
        plans=describe_plans({"main": plan, "cpu": plan}),
        placement=(NodePlacement("conv0", "conv0", "gpu", 0, 17),),
        decision={"strategy": "ilp", "gap": 0.01, "baselines": {"cpu": 2000, "gpu": None}},
    )
    modules = {"x86_64-linux-gnu": Module(b"object", b"library", 7)}
    files = bundle_files({"main": plan, "cpu": plan}, weights, modules, "__kernel void k() {}\n")
    return BundleContents(manifest, files)
