"""Element types for kernels that only move data: any type of the same size will do."""

from __future__ import annotations

import numpy as np

from hetpart.errors import HetpartError

_BY_SIZE = {1: "uchar", 2: "ushort", 4: "uint", 8: "ulong"}


def element_type(dtype: str) -> str:
    """The OpenCL C type that holds a numpy `dtype`; raises HetpartError ``no-kernel`` if there is none."""
    if dtype == "float32":
        return "float"
    size = np.dtype(dtype).itemsize
    if size not in _BY_SIZE:
        raise HetpartError("no-kernel", f"OpenCL kernels cannot move elements of type {dtype}")
    return _BY_SIZE[size]
