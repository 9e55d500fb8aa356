"""Checking what a user feeds into a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hetpart.bundle.manifest import TensorInfo
from hetpart.errors import HetpartError


def checked_inputs(inputs: Mapping[str, np.ndarray], ports: Sequence[TensorInfo]) -> dict[str, np.ndarray]:
    """The arrays of all `ports`, in their order, dense and row-major.

    Raises HetpartError ``bad-input`` if a name is missing or unknown, or a shape or dtype is not the port's; the hint
    lists what is expected. Nothing is converted.
    """
    known = {port.name: port for port in ports}
    expected = "expected: " + ", ".join(f"{port.name} {port.dtype}{list(port.shape)}" for port in ports)
    for name in inputs:
        if name not in known:
            raise HetpartError("bad-input", f"the model has no input {name}", hint=expected)
    for name, port in known.items():
        if name not in inputs:
            raise HetpartError("bad-input", f"input {name} is missing", hint=expected)
        array = inputs[name]
        if not isinstance(array, np.ndarray):
            raise HetpartError("bad-input", f"input {name} is of type {type(array).__name__}", hint=expected)
        if array.shape != port.shape or array.dtype != np.dtype(port.dtype):
            found = f"{array.dtype}{list(array.shape)}"
            raise HetpartError("bad-input", f"input {name} is {found}", hint=expected)
    return {name: np.ascontiguousarray(inputs[name]).reshape(port.shape) for name, port in known.items()}
