"""OpenCL out of Python packages, so that ``pip install hetpart[opencl]`` is all that the host bench needs.

The wheel of ``pyopencl`` holds a loader (``libOpenCL``), that of ``pocl-binary-distribution`` a CPU implementation
(``libpocl``), both under names with hashes. Neither is imported: their files are found and named in the environment.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path


def _packaged(pattern: str) -> Path | None:
    for package in ("pyopencl", "pocl_binary_distribution"):
        spec = find_spec(package)
        for root in (spec.submodule_search_locations or []) if spec else []:
            for folder in (Path(root) / ".libs", Path(root).parent / f"{package}.libs"):
                for path in sorted(folder.glob(pattern)):
                    return path
    return None


def use_packaged_opencl() -> None:
    """Set ``HETPART_OPENCL`` and what its loader reads, if the packages are there and the user chose nothing else."""
    if "HETPART_OPENCL" in os.environ:
        return
    loader, pocl = _packaged("libOpenCL*.so*"), _packaged("libpocl*.so*")
    if loader is None or pocl is None:
        return
    os.environ["HETPART_OPENCL"] = str(loader)
    os.environ.setdefault("OCL_ICD_VENDORS", str(pocl))
    # the wheel's loader is patched to look here for further implementations, and crashes where it is not set
    os.environ.setdefault("PYOPENCL_HOME", str(loader.parent.parent))
