"""The compile cache: compiled kernels by signature, in the user's cache folder.

A key names the spec and the instruction set; the folder above it names the toolchain (hetpart's kernel sources and
the versions of TVM), so that a change of either makes new entries and never reuses a stale one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from functools import cache
from importlib import metadata
from importlib.resources import files
from pathlib import Path

from hetpart.errors import HetpartError


def cache_root() -> Path:
    """``$XDG_CACHE_HOME/hetpart`` or ``~/.cache/hetpart``."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "hetpart"


@cache
def toolchain_digest() -> str:
    """Digest of everything that turns a spec into code."""
    digest = hashlib.sha256()
    for package in ("apache-tvm", "apache-tvm-ffi"):
        digest.update(f"{package}=={metadata.version(package)}\n".encode())
    for package in ("hetpart.kernels", "hetpart.kernels.cpu"):
        for entry in sorted(files(package).iterdir(), key=lambda e: e.name):
            if entry.name.endswith(".py"):
                digest.update(entry.name.encode() + entry.read_bytes())
    return digest.hexdigest()[:16]


class KernelCache:
    """Bytes by key; a disabled cache forgets everything."""

    def __init__(self, *, enabled: bool = True) -> None:
        self._folder = cache_root() / "kernels" / toolchain_digest() if enabled else None
        self.hits = 0
        self.misses = 0

    def get(self, key: str) -> bytes | None:
        """The stored bytes, or None."""
        data = None
        if self._folder is not None:
            try:
                data = (self._folder / key).read_bytes()
            except OSError:
                data = None  # not stored, or not readable: compile again
        self.hits += data is not None
        self.misses += data is None
        return data

    def put(self, key: str, data: bytes) -> None:
        """Stores `data`; a cache that cannot be written is skipped, since compiling works without it."""
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._folder, prefix=".writing-")
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(name, self._folder / key)
        except OSError:
            self._folder = None


def clear_cache() -> int:
    """Deletes what `cache_size` counts; returns the bytes freed.

    Raises:
        HetpartError: ``cannot-clear``.
    """
    size = cache_size()
    try:
        for part in _parts():
            shutil.rmtree(part)
    except OSError as error:
        raise HetpartError("cannot-clear", f"cannot delete {error.filename}: {error.strerror}") from error
    return size


def cache_size() -> int:
    """Bytes of compiled kernels and of the compiled runtime."""
    return sum(path.stat().st_size for part in _parts() for path in part.rglob("*") if path.is_file())


def _parts() -> list[Path]:
    """What compiling makes again by itself; an arm64 system for emulation, which stands beside it, is none of that."""
    return [folder for name in ("kernels", "runtime") if (folder := cache_root() / name).is_dir()]
