"""Spatial padding of a blocked map with a constant, its mirror image or its edge; negative pads crop.

A work item is one output row of one channel block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.errors import HetpartError, InternalError
from hetpart.kernels.cpu.emit import Buffer, Expr, locate_row, range_kernel, row_extent, zero_halo
from hetpart.kernels.cpu.vectors import cast
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import PadSpec


def extent(spec: PadSpec, isa: Isa) -> int:
    """Rows of the output, over all images and channel blocks."""
    return row_extent(spec.out)


def pack(spec: PadSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """The padding value is part of the code."""
    return ()


def prim_func(spec: PadSpec, isa: Isa, symbol: str) -> Any:
    """``(x, out, lo, hi)``; raises HetpartError ``pad-too-wide`` if too little image is left to reflect or repeat."""
    _check(spec)
    x_map, out = spec.x, spec.out
    top, left = spec.pads[0], spec.pads[1]
    # output columns that show the image itself
    first, last = min(max(0, left), out.w), max(0, min(out.w, left + x_map.w))
    first = min(first, last)

    def body(item: Expr, x: Buffer, result: Buffer) -> None:
        image, block, y = locate_row(item, out)
        zero_halo(result, out, image, block, y)

        def write(value: Expr, column: Expr, v: Expr) -> None:
            T.buffer_store(result, value, [image, block, out.halo.top + y, out.halo.left + column, v])

        def fill(begin: int, end: int) -> None:
            with T.serial(begin, end) as column, T.vectorized(0, out.block) as v:
                write(cast(T.float32(spec.value), out.dtype), column, v)

        def copy(row: Expr, begin: int, end: int, source: Callable[[Expr], Expr]) -> None:
            with T.serial(begin, end) as column, T.vectorized(0, out.block) as v:
                value = x[image, block, x_map.halo.top + row, x_map.halo.left + source(column), v]
                write(value, column, v)

        if spec.mode == "constant":
            with T.If(T.And(y >= top, y < top + x_map.h)):
                with T.Then():
                    fill(0, first)
                    copy(y - top, first, last, lambda column: column - left)
                    fill(last, out.w)
                with T.Else():
                    fill(0, out.w)
            return
        outside = _mirrored if spec.mode == "reflect" else _clamped
        row = T.Bind(outside(y - top, x_map.h))
        copy(row, 0, first, lambda column: outside(column - left, x_map.w))
        copy(row, first, last, lambda column: column - left)
        copy(row, last, out.w, lambda column: outside(column - left, x_map.w))

    return range_kernel(symbol, (x_map, out), body)


def _mirrored(index: Expr, size: int) -> Expr:
    """Position that `index` shows when the image is mirrored at its outermost pixels (which are not repeated)."""
    return (size - 1) - T.abs((size - 1) - T.abs(index))


def _clamped(index: Expr, size: int) -> Expr:
    return T.max(0, T.min(index, size - 1))


def _check(spec: PadSpec) -> None:
    x, out = spec.x, spec.out
    top, left, bottom, right = spec.pads
    if spec.mode not in ("constant", "reflect", "edge"):
        raise InternalError("kernel-spec", f"unknown padding mode {spec.mode!r}")
    if (x.n, x.c, x.block, x.h + top + bottom, x.w + left + right) != (out.n, out.c, out.block, out.h, out.w):
        raise InternalError("kernel-layout", f"padding by {spec.pads} cannot go from {x} to {out}")
    for size, before, after in ((x.h, top, bottom), (x.w, left, right)):
        kept = size + min(0, before) + min(0, after)
        needed = {"constant": 0, "edge": 1, "reflect": max(before, after) + 1}[spec.mode]
        if kept < needed:
            raise HetpartError(
                "pad-too-wide",
                f"{spec.mode} padding by {spec.pads} (top, left, bottom, right) does not fit an image of {x.h} x {x.w}",
                hint="reflection reaches at most size - 1 pixels; use edge or constant padding",
            )
