"""The cache folder: what hetpart keeps because it takes a while to make again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from hetpart.errors import HetpartError


def cache_root() -> Path:
    """``$XDG_CACHE_HOME/hetpart`` or ``~/.cache/hetpart``."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "hetpart"


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
