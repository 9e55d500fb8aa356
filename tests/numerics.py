"""How far a result is from what it should be."""

from __future__ import annotations

import math

import numpy as np


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Relative L2 distance over what is finite in `expected`.

    Infinite where shapes differ, where dtypes differ (a float64 reference stands for any), where infinities and NaN
    of `expected` are not those of `actual`, and where `actual` has others.
    """
    if actual.shape != expected.shape or expected.dtype not in (actual.dtype, np.float64):
        return math.inf
    finite = np.isfinite(expected)
    special = np.array_equal(actual[~finite], expected[~finite], equal_nan=True)
    if not special or not np.isfinite(actual[finite]).all():
        return math.inf
    wanted = expected[finite].astype(np.float64)
    distance = float(np.linalg.norm(actual[finite].astype(np.float64) - wanted))
    size = float(np.linalg.norm(wanted))
    return distance / size if size else distance
