"""float16 constants."""

from __future__ import annotations

import numpy as np

from hetpart.errors import HetpartError


def as_stored(constants: np.ndarray, dtype: str) -> np.ndarray:
    """float32 constants as `dtype`, contiguous.

    Raises:
        HetpartError: ``float16-range`` if a finite number becomes infinite.
    """
    if constants.dtype == dtype:
        return np.ascontiguousarray(constants)
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(constants.astype(dtype))
    if np.any(np.isinf(stored) & np.isfinite(constants)):
        largest = float(np.abs(constants[np.isfinite(constants)]).max())
        raise HetpartError(
            "float16-range", f"a weight of {largest:.3g} is beyond float16, which ends at 65504",
            hint='compile without --precision fp16, for a target with storage = "float32"',
        )  # fmt: skip
    return stored
