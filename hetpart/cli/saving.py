"""Files that verbs write on request: whole, or not at all; a failure names the file."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hetpart.errors import HetpartError


def save_json(path: Path, value: Any) -> None:
    """`value` as JSON; HetpartError ``cannot-write``."""
    with _written(path) as file:
        file.write(json.dumps(value).encode())


def save_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """`arrays` as numpy's .npz; HetpartError ``cannot-write``."""
    with _written(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes **kwds for a flag


@contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the name `path` when the block ends well; devices and pipes are written to directly."""
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                yield file
            return
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.resolve().parent) as folder:
            temporary = Path(folder) / "new"
            with temporary.open("wb") as file:
                yield file
            os.replace(temporary, path.resolve())
    except OSError as error:
        raise HetpartError("cannot-write", f"cannot write {path}: {error.strerror or error}") from error
