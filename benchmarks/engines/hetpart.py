"""hetpart: the CPU-only bundle for this machine, on the runtime that applications link."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.engines import Run

PACKAGES = ("hetpart",)


def prepare(model: Path, folder: Path) -> Path:
    """A bundle; kernels come out of hetpart's cache where they are unchanged."""
    from hetpart.build import build
    from hetpart.compiler import Options
    from hetpart.errors import HetpartError

    try:
        build(model, "host", folder / "bundle", Options(strategy="cpu"), verify="none")
    except HetpartError as error:
        raise RuntimeError(str(error)) from error
    return folder / "bundle"


def load(prepared: Path, cores: Sequence[int]) -> Run:
    """A session whose CPU kernels share `cores`: the bundle itself is the same for any number of threads."""
    from hetpart.runtime.session import Session

    return Session(prepared, pin={"cpu": cores}, threads=len(cores), trace=False).run
