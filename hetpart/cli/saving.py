"""Files that verbs write on request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hetpart.files import written


def save_json(path: Path, value: Any) -> None:
    """`value` as JSON; HetpartError as `hetpart.files.written`."""
    with written(path) as file:
        file.write(json.dumps(value).encode())


def save_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """`arrays` as numpy's .npz; HetpartError as `hetpart.files.written`."""
    with written(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes **kwds for a flag
