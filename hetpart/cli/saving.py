"""Files that verbs write on request."""

from __future__ import annotations

import json
import zipfile
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
        # not np.savez, whose own arguments are names that an output may have
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
