"""Weights and biases in the order in which the register tiles read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hetpart.errors import HetpartError
from hetpart.kernels.cpu.tiles import Run


def pack_tiles(w: np.ndarray, tiles: Sequence[Run], lanes: int) -> np.ndarray:
    """(steps, outputs) as one flat array of tiles, each (steps, vectors, lanes); missing outputs become zero.

    `tiles` cut the outputs, counted in vectors of `lanes`. The tile that begins at vector `v` begins at element
    ``v * steps * lanes``, whatever its size.
    """
    w = np.pad(np.asarray(w, np.float32), ((0, 0), (0, tiles[-1].stop * lanes - w.shape[1])))
    return np.concatenate(
        [
            w[:, vector * lanes : (vector + run.size) * lanes].reshape(-1)
            for run in tiles
            for vector in range(run.start, run.stop, run.size)
        ]
    )


def pack_bias(constants: Mapping[str, np.ndarray], size: int, dtype: str = "float32") -> tuple[np.ndarray, ...]:
    """Constant ``b`` padded with zeros to `size`, or nothing if there is none."""
    if "b" not in constants:
        return ()
    b = np.asarray(constants["b"], np.float32).reshape(-1)
    return (as_stored(np.pad(b, (0, size - len(b))), dtype),)


def as_stored(constants: np.ndarray, dtype: str) -> np.ndarray:
    """float32 constants as `dtype`.

    Raises:
        HetpartError: ``float16-range`` if a finite number becomes infinite.
    """
    if constants.dtype == dtype:
        return constants
    with np.errstate(over="ignore"):
        stored = constants.astype(dtype)
    if np.any(np.isinf(stored) & np.isfinite(constants)):
        largest = float(np.abs(constants[np.isfinite(constants)]).max())
        raise HetpartError(
            "float16-range", f"a weight of {largest:.3g} is beyond float16, which ends at 65504",
            hint="compile without --precision fp16",
        )  # fmt: skip
    return stored
