"""Weights and biases in the order in which the register tiles read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hetpart.kernels.cpu.tiles import Run
from hetpart.kernels.half import as_stored


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
