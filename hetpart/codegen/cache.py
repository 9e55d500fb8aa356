"""The compile cache: compiled kernels by signature, in the user's cache folder.

A key names the spec and the instruction set; the folder above it names the toolchain (hetpart's kernel sources and
the versions of TVM), so that a change of either makes new entries and never reuses a stale one.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata
from importlib.resources import files

from hetpart.cache import cache_root
from hetpart.errors import HetpartError
from hetpart.files import written


@cache
def toolchain_digest(*further: str) -> str:
    """Digest of everything that turns a spec into CPU code, and of `further` packages."""
    digest = hashlib.sha256()
    for package in ("apache-tvm", "apache-tvm-ffi"):
        digest.update(f"{package}=={metadata.version(package)}\n".encode())
    for package in ("hetpart.kernels", "hetpart.kernels.cpu", *further):
        for entry in sorted(files(package).iterdir(), key=lambda e: e.name):
            if entry.name.endswith(".py"):
                digest.update(entry.name.encode() + entry.read_bytes())
    return digest.hexdigest()[:16]


class KernelCache:
    """Bytes by key; a disabled cache forgets everything."""

    def __init__(self, *, enabled: bool = True) -> None:
        self._folder = cache_root() / "kernels" / toolchain_digest() if enabled else None

    def get(self, key: str) -> bytes | None:
        """The stored bytes, or None."""
        if self._folder is None:
            return None
        try:
            return (self._folder / key).read_bytes()
        except OSError:
            return None  # not stored, or not readable: compile again

    def put(self, key: str, data: bytes) -> None:
        """Stores `data`; a cache that cannot be written is skipped, since compiling works without it."""
        if self._folder is None:
            return
        try:
            with written(self._folder / key, make_folder=True) as file:
                file.write(data)
        except HetpartError:
            self._folder = None
