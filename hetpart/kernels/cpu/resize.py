"""Spatial resize of a blocked map by tables of source lines: one output row of one channel block per work item.

The tables reach the kernel as constants, so every scale, rounding and coordinate mode is the same code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.graph.layout import Plain
from hetpart.kernels.cpu.emit import Buffer, Expr, locate_row, range_kernel, row_extent, zero_halo
from hetpart.kernels.cpu.vectors import cast
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import ResizeSpec


def extent(spec: ResizeSpec, isa: Isa) -> int:
    """Rows of the output, over all images and channel blocks."""
    return row_extent(spec.out)


def pack(spec: ResizeSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Source lines (h + w, 2) int32, rows before columns; for ``linear`` also the weights (h + w,) of the second."""
    lines = spec.rows + spec.columns
    indices = np.array([line[:2] for line in lines], dtype=np.int32)
    if spec.mode == "nearest":
        return (indices,)
    return indices, np.array([line[2] for line in lines], dtype=np.float32)


def prim_func(spec: ResizeSpec, isa: Isa, symbol: str) -> Any:
    """``(x, lines, out, lo, hi)`` for ``nearest``, ``(x, lines, weights, out, lo, hi)`` for ``linear``."""
    _check(spec)
    x_map, out = spec.x, spec.out
    lines = Plain((out.h + out.w, 2), "int32")

    def body(item: Expr, x: Buffer, table: Buffer, *rest: Buffer) -> None:
        result = rest[-1]
        image, block, y = locate_row(item, out)
        zero_halo(result, out, image, block, y)
        with T.serial(0, out.w) as column:

            def source(low_row: int, low_column: int, v: Expr) -> Expr:
                row = x_map.halo.top + table[y, low_row]
                return x[image, block, row, x_map.halo.left + table[out.h + column, low_column], v]

            with T.vectorized(0, out.block) as v:
                value = source(0, 0, v)
                if spec.mode == "linear":
                    weights = rest[0]
                    value = _mix(
                        _mix(value, source(0, 1, v), weights[out.h + column]),
                        _mix(source(1, 0, v), source(1, 1, v), weights[out.h + column]),
                        weights[y],
                    )
                value = cast(value, out.dtype)
                T.buffer_store(result, value, [image, block, out.halo.top + y, out.halo.left + column, v])

    weights = (Plain((out.h + out.w,)),) if spec.mode == "linear" else ()
    return range_kernel(symbol, (x_map, lines, *weights, out), body)


def _mix(low: Expr, high: Expr, weight: Expr) -> Expr:
    # exact at weights 0 and 1, unlike low + weight * (high - low); a neighbour of weight 0 is always a real pixel
    return cast(low, "float32") * (T.float32(1) - weight) + cast(high, "float32") * weight


def _check(spec: ResizeSpec) -> None:
    x, out = spec.x, spec.out
    if spec.mode not in ("nearest", "linear"):
        raise InternalError("kernel-spec", f"unknown resize mode {spec.mode!r}")
    if (x.n, x.c, x.block) != (out.n, out.c, out.block) or (len(spec.rows), len(spec.columns)) != (out.h, out.w):
        raise InternalError("kernel-layout", f"resize cannot go from {x} to {out} with these tables")
    for table, size in ((spec.rows, x.h), (spec.columns, x.w)):
        if any(not (0 <= low < size and 0 <= high < size) for low, high, _ in table):
            raise InternalError("kernel-spec", "a resize table points outside of the image")
