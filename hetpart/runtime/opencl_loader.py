"""OpenCL out of Python packages, so that ``pip install hetpart[opencl]`` is all that the host bench needs.

The wheel of ``pyopencl`` holds a loader (``libOpenCL``), that of ``pocl-binary-distribution`` a CPU implementation
(``libpocl``), both under names with hashes. Neither is imported: their files are found and named in the environment.
PoCL links every kernel with the program ``ld``; a machine without one gets ``ziglang``'s under that name.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from hetpart.bundle.toolchain import zig
from hetpart.cache import cache_root
from hetpart.errors import HetpartError


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
    if shutil.which("ld") is None:
        _provide_linker()


def _provide_linker() -> None:
    """Put a program ``ld`` at the end of this process's PATH that runs ziglang's linker."""
    folder = cache_root() / "bin"
    text = f'#!/bin/sh\nexec {shlex.join(zig("ld.lld"))} "$@"\n'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "ld").exists() or (folder / "ld").read_text() != text:
            with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
                file.write(text)
            os.chmod(file.name, 0o755)
            os.replace(file.name, folder / "ld")
    except OSError as error:
        raise HetpartError(
            "no-linker",
            f"PoCL needs the program ld, and {folder} cannot hold one: {error.strerror}",
            hint="apt-get install binutils, or set XDG_CACHE_HOME to a folder that you may write to",
        ) from error
    os.environ["PATH"] = os.pathsep.join(filter(None, (os.environ.get("PATH"), str(folder))))
