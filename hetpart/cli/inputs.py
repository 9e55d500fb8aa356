"""Input arrays of ``run``, ``verify`` and ``bench``: files, or random where none is given."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hetpart.bundle.read import read_bundle
from hetpart.errors import HetpartError
from hetpart.graph.units import TensorType
from hetpart.verify import random_inputs


def load_or_random(bundle: Path, texts: Sequence[str], seed: int) -> dict[str, np.ndarray]:
    """``NAME=FILE.npy`` options as arrays, completed with random ones for the bundle's other inputs."""
    ports = read_bundle(bundle).manifest.inputs
    inputs = random_inputs({port.name: TensorType(port.shape, port.dtype) for port in ports}, seed)
    for text in texts:
        name = next((name for name in inputs if text.startswith(f"{name}=")), None)  # a name may hold a "="
        if name is None:
            known = ", ".join(inputs)
            hint = f"write NAME=FILE.npy; inputs: {known}"
            raise HetpartError("bad-input", f"--input {text}: no such input", hint=hint)
        file = text.removeprefix(f"{name}=")
        try:
            array = np.load(Path(file), allow_pickle=False)
        except OSError as error:
            raise HetpartError("bad-input", f"cannot read {file}: {error.strerror or error}") from error
        except (ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
            raise HetpartError("bad-input", f"{file} is no array: {error}", hint="save it with numpy.save") from error
        if not isinstance(array, np.ndarray):
            raise HetpartError("bad-input", f"{file} holds several arrays", hint="one .npy file per input, numpy.save")
        inputs[name] = array
    return inputs
