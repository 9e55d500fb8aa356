"""The C runtime as a shared library for this machine, compiled once from the packaged sources and kept in a cache."""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hetpart.bundle.toolchain import RUNTIME, compiler, run_tool
from hetpart.cache import cache_root
from hetpart.errors import HetpartError

CFLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-pedantic", "-fvisibility=hidden")
LIBRARIES = ("-lpthread", "-ldl")

_PROGRAMS = ("run", "profile")


def runtime_library() -> Path:
    """``libhetpart.so`` of exactly these sources; compiled on first use, which takes a second or two."""
    return _built("libhetpart.so", compiler(), ["-fPIC", "-shared", *_sources()])


def program(name: str, command: Sequence[str]) -> Path:
    """``hetpart-run`` or ``hetpart-profile`` (`name` is the last word), compiled by `command`, perhaps for a phone."""
    return _built(f"hetpart-{name}", command, [*_sources(), *map(str, sorted((RUNTIME / "src").glob(f"{name}_*.c")))])


def _sources() -> list[str]:
    """The runtime without its programs."""
    return [str(path) for path in sorted((RUNTIME / "src").glob("*.c")) if path.name.split("_")[0] not in _PROGRAMS]


def _built(name: str, command: Sequence[str], arguments: Sequence[str]) -> Path:
    line = [*command, *CFLAGS, f"-I{RUNTIME / 'include'}", *arguments, *LIBRARIES]
    digest = hashlib.sha256(repr((line, platform.machine())).encode())
    for path in sorted(RUNTIME.rglob("*.[ch]")):
        digest.update(path.read_bytes())
    folder = cache_root() / "runtime" / digest.hexdigest()[:16]
    if (folder / name).exists():
        return folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            run_tool([*line, "-o", name], Path(work), f"the runtime ({name})")
            os.replace(Path(work) / name, folder / name)  # another process may have been faster: the same file
    except OSError as error:
        raise HetpartError(
            "cache-not-writable", f"cannot keep the runtime in {folder}: {error.strerror or error}",
            hint="set XDG_CACHE_HOME to a folder that you may write to",
        ) from error  # fmt: skip
    return folder / name
