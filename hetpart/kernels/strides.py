"""Strides of row-major tensors, as they are and as they are read under broadcasting."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hetpart.errors import InternalError
from hetpart.graph.layout import Plain


def row_major_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Elements from one index to the next, per axis."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def broadcast_strides(shape: Sequence[int], out: Sequence[int]) -> tuple[int, ...]:
    """Strides with which `shape` is read, per axis of `out`, under ONNX broadcasting; 0 where it repeats.

    Raises:
        InternalError: ``operand-layout`` if `shape` does not broadcast to `out`.
    """
    padded = (1,) * (len(out) - len(shape)) + tuple(shape)
    if len(padded) != len(out) or any(have not in (1, want) for have, want in zip(padded, out, strict=True)):
        raise InternalError("operand-layout", f"shape {tuple(shape)} does not broadcast to {tuple(out)}")
    return tuple(stride if extent > 1 else 0 for extent, stride in zip(padded, row_major_strides(padded), strict=True))


def matrix_strides(side: Plain, batch: Sequence[int], *, column: bool = False) -> tuple[int, ...]:
    """How one side of a product is walked: from matrix to matrix, per axis of `batch`, and last from row to row.

    A matrix that repeats has stride 0. A vector is one row, or one `column`.

    Raises:
        InternalError: ``kernel-layout`` if the elements of a row are not neighbours.
    """
    if side.strides[-1] != 1:
        raise InternalError("kernel-layout", f"the rows of {side} are not contiguous")
    if len(side.shape) == 1:
        return (0,) * len(batch) + ((1,) if column else (0,))
    own = [stride if extent > 1 else 0 for extent, stride in zip(side.shape[:-2], side.strides, strict=False)]
    return (*[0] * (len(batch) - len(own)), *own, side.strides[-2])
