"""Files that verbs write on request; a failure names the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hetpart.errors import HetpartError


def save_json(path: Path, value: Any) -> None:
    try:
        path.write_text(json.dumps(value), encoding="utf-8")
    except OSError as error:
        raise HetpartError("cannot-write", f"cannot write {path}: {error.strerror}") from error


def save_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    try:
        with path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes **kwds for a flag
    except OSError as error:
        raise HetpartError("cannot-write", f"cannot write {path}: {error.strerror}") from error
