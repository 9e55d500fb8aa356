"""Max and average pooling of a blocked map: one output row of one channel block per work item.

Windows are clipped to the image exactly. Rows: the range of kernel rows that hit the image is computed per item.
Columns: the few output columns whose windows stick out are unrolled one by one with their static range of kernel
columns; all others form register tiles in which every kernel column counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.errors import HetpartError, InternalError
from hetpart.kernels.cpu.emit import Buffer, Expr, locate_row, range_kernel, registers, row_extent, zero_halo
from hetpart.kernels.cpu.vectors import cast, largest
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import PoolSpec, QPoolSpec

_REAL = ("float32", "float16")

UNROLLED_TAPS = 16
"""Wider kernels loop over their columns instead of unrolling them, to bound the code size."""


def extent(spec: PoolSpec, isa: Isa) -> int:
    """Rows of the output, over all images and channel blocks."""
    return row_extent(spec.out)


def pack(spec: PoolSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Pooling has no constants."""
    return ()


def prim_func(spec: PoolSpec, isa: Isa, symbol: str) -> Any:
    """``(x, out, lo, hi)``; raises HetpartError ``empty-window`` where a window holds no pixel of the image."""
    check(spec)
    out = spec.out
    if spec.x.dtype != out.dtype or (out.dtype not in _REAL and spec.mode != "max"):
        raise InternalError("kernel-layout", f"{spec.mode} pooling cannot go from {spec.x} to {out}")
    ranges = [taps(spec, 1, column) for column in range(out.w)]
    inner = [column for column in range(out.w) if ranges[column] == (0, spec.kernel[1])]
    first, last = (inner[0], inner[-1] + 1) if inner else (out.w, out.w)
    element = "float32" if spec.mode == "average" else out.dtype
    neutral = tirx.min_value(element)
    if element in _REAL:
        neutral = tirx.const(-math.inf if spec.mode == "max" else 0.0, element)
    tile = max(1, min(8, (isa.registers - 4) // max(1, out.block // isa.lanes_of(element))))

    def body(item: Expr, x: Buffer, result: Buffer) -> None:
        image, block, y = locate_row(item, out)
        zero_halo(result, out, image, block, y)
        start = y * spec.strides[0] - spec.pads[0]
        row_lo, row_hi = row_range(spec, start, spec.x.h)
        row_lo, row_hi = T.Bind(row_lo), T.Bind(row_hi)
        if spec.mode == "average":
            counted = row_range(spec, start, spec.x.h + spec.pads[2])[1] if spec.include_pad else row_hi - row_lo
            counted = T.Bind(counted)

        def window(column: Expr, width: int, tap_lo: int, tap_hi: int, columns_counted: int) -> None:
            """Outputs `column` ... `column` + `width` - 1, all with the same kernel columns."""
            acc = registers((width * out.block,), element)
            with T.unroll(0, width) as q, T.vectorized(0, out.block) as v:
                T.buffer_store(acc, neutral, [q * out.block + v])

            def join(kh: Expr, columns: Iterable[Expr | int], q: Expr) -> None:
                row = spec.x.halo.top + start + kh * spec.dilations[0]
                first = spec.x.halo.left + (column + q) * spec.strides[1] - spec.pads[1]
                with T.vectorized(0, out.block) as v:
                    values = [x[image, block, row, first + kw * spec.dilations[1], v] for kw in columns]
                    all_values = (acc[q * out.block + v], *(cast(value, element) for value in values))
                    joined = largest(all_values, isa) if spec.mode == "max" else reduce(add, all_values)
                    T.buffer_store(acc, joined, [q * out.block + v])

            if tap_hi - tap_lo <= UNROLLED_TAPS:
                with T.serial(row_lo, row_hi) as kh, T.unroll(0, width) as q:
                    join(kh, range(tap_lo, tap_hi), q)
            else:
                with T.serial(row_lo, row_hi) as kh, T.serial(tap_lo, tap_hi) as kw, T.unroll(0, width) as q:
                    join(kh, (kw,), q)
            with T.unroll(0, width) as q, T.vectorized(0, out.block) as v:
                value = acc[q * out.block + v]
                if spec.mode == "average":
                    value = value / T.cast(counted * columns_counted, "float32")
                at = [image, block, out.halo.top + y, out.halo.left + column + q, v]
                T.buffer_store(result, cast(value, out.dtype), at)

        for column in [*range(first), *range(last, out.w)]:
            tap_lo, tap_hi = ranges[column]
            window(column, 1, tap_lo, tap_hi, counted_columns(spec, column))
        tiles, rest = divmod(last - first, tile)
        if tiles:
            with T.serial(0, tiles) as t:
                window(first + t * tile, tile, 0, spec.kernel[1], spec.kernel[1])
        if rest:
            window(last - rest, rest, 0, spec.kernel[1], spec.kernel[1])

    return range_kernel(symbol, (spec.x, out), body)


def check(spec: PoolSpec | QPoolSpec) -> None:
    """Raise where the layouts break the contract of pooling, or a window lies wholly outside of the image."""
    if spec.mode not in (("max", "average", "sum") if isinstance(spec, QPoolSpec) else ("max", "average")):
        raise InternalError("kernel-spec", f"unknown pooling mode {spec.mode!r}")
    if (spec.x.n, spec.x.c, spec.x.block) != (spec.out.n, spec.out.c, spec.out.block):
        raise InternalError("kernel-layout", f"pooling cannot go from {spec.x} to {spec.out}")
    for axis, length in ((0, spec.out.h), (1, spec.out.w)):
        for index in range(length):
            lo, hi = taps(spec, axis, index)
            if lo >= hi:
                raise HetpartError(
                    "empty-window",
                    f"pooling window {index} along axis {axis + 2} lies wholly outside of the image",
                    hint="the pads or ceil_mode reach beyond the image by a whole kernel; reduce them",
                )


def taps(spec: PoolSpec | QPoolSpec, axis: int, index: int) -> tuple[int, int]:
    """Range of kernel positions that hit the image in output `index` of spatial `axis`."""
    size = (spec.x.h, spec.x.w)[axis]
    start = index * spec.strides[axis] - spec.pads[axis]
    dilation, kernel = spec.dilations[axis], spec.kernel[axis]
    return max(0, -(start // dilation)), min(kernel, -((start - size) // dilation))


def row_range(spec: PoolSpec | QPoolSpec, start: Expr, size: int) -> tuple[Expr, Expr]:
    """The same as `_taps` for a row known at run time, against an image of `size` rows."""
    dilation, kernel = spec.dilations[0], spec.kernel[0]
    # TVM's // on int32 expressions rounds down, as Python's does
    return T.max(0, 0 - start // dilation), T.min(kernel, 0 - (start - size) // dilation)


def counted_columns(spec: PoolSpec | QPoolSpec, column: int) -> int:
    """Kernel columns by which an average divides: those on the image, or with `include_pad` on image and pads."""
    lo, hi = taps(spec, 1, column)
    if not spec.include_pad:
        return hi - lo
    start = column * spec.strides[1] - spec.pads[1]
    return min(spec.kernel[1], -((start - spec.x.w - spec.pads[3]) // spec.dilations[1]))
