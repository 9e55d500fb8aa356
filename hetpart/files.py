"""Files that are written whole or not at all: aside first, then renamed; a failure names the file."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hetpart.errors import HetpartError


@contextmanager
def written(path: Path, *, make_folder: bool = False) -> Iterator[BinaryIO]:
    """A file that takes the name `path` when the block ends well; devices and pipes are written to directly.

    Args:
        path: what a symbolic link leads to is replaced, not the link.
        make_folder: make the folder if it is missing.

    Raises:
        HetpartError: as `reported`.
    """
    with reported(path):
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                yield file
            return
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.resolve().parent) as folder:
            temporary = Path(folder) / "new"
            with temporary.open("wb") as file:
                yield file
            os.replace(temporary, path.resolve())


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Failures to write `path` as HetpartError ``cannot-write``, or ``disk-full``."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise HetpartError(
            "disk-full" if full else "cannot-write", f"cannot write {path}: {error.strerror or error}",
            hint="free some space, or choose another disk" if full else "choose a folder that you may write to",
        ) from error  # fmt: skip
