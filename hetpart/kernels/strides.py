"""Strides of dense row-major tensors, as they are and as they are read under broadcasting."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hetpart.errors import InternalError


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
