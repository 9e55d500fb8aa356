"""Pooling of a quantised map into other scales and zero points, in onnxruntime's arithmetic.

One output row of one channel block per work item. Windows are clipped to the image: rows at run time, columns when the
code is made. Maximum pooling that keeps scale and zero point is `hetpart.kernels.cpu.pool` on the integers as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.kernels.cpu.emit import Buffer, Expr, locate_row, range_kernel, registers, row_extent, zero_halo
from hetpart.kernels.cpu.pool import check, counted_columns, row_range, taps
from hetpart.kernels.cpu.requantise import rounded_product, store_form
from hetpart.kernels.cpu.vectors import dtype_of, vector
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import QPoolSpec, Rounding


def extent(spec: QPoolSpec, isa: Isa) -> int:
    """Rows of the output, over all images and channel blocks."""
    return row_extent(spec.out)


def pack(spec: QPoolSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Pooling has no constants."""
    return ()


def prim_func(spec: QPoolSpec, isa: Isa, symbol: str) -> Any:
    """``(x, out, lo, hi)``; raises HetpartError ``empty-window`` where a window holds no pixel of the image."""
    check(spec)
    if spec.x.dtype not in ("int8", "uint8") or spec.out.dtype not in ("int8", "uint8"):
        raise InternalError("kernel-layout", f"quantised pooling cannot go from {spec.x} to {spec.out}")
    out, lanes = spec.out, spec.out.block
    ranges = [taps(spec, 1, column) for column in range(out.w)]
    inner = [column for column in range(out.w) if ranges[column] == (0, spec.kernel[1])]
    element = "float32" if spec.mode == "average" else "int32"
    ratio = float(np.float32(spec.scales[0]) / np.float32(spec.scales[1]))
    first, last = (inner[0], inner[-1] + 1) if inner else (out.w, out.w)

    def body(item: Expr, x: Buffer, result: Buffer) -> None:
        image, block, y = locate_row(item, out)
        zero_halo(result, out, image, block, y)
        start = y * spec.strides[0] - spec.pads[0]
        row_lo, row_hi = (T.Bind(bound) for bound in row_range(spec, start, spec.x.h))
        counted = row_range(spec, start, spec.x.h + spec.pads[2])[1] if spec.include_pad else row_hi - row_lo
        counted = T.Bind(counted)

        def window(column: Expr, tap_lo: int, tap_hi: int, columns_counted: int) -> None:
            """The output at `column`, whose kernel columns `tap_lo` to `tap_hi` hit the image."""
            acc = registers((1,), dtype_of(lanes, element))
            neutral = -(2**31) if spec.mode == "max" else 0
            T.buffer_store(acc, tirx.const(neutral, dtype_of(lanes, element)), [0])
            with T.serial(row_lo, row_hi) as kh, T.serial(tap_lo, tap_hi) as kw:
                row = spec.x.halo.top + start + kh * spec.dilations[0]
                source = spec.x.halo.left + column * spec.strides[1] - spec.pads[1] + kw * spec.dilations[1]
                value = tirx.Cast(dtype_of(lanes, element), x[image, block, row, source, vector(lanes)])
                if spec.mode == "average":
                    value = rounded_product(value - float(spec.zero_point), spec.scales[0])
                T.buffer_store(acc, tirx.max(acc[0], value) if spec.mode == "max" else acc[0] + value, [0])
            place = [image, block, out.halo.top + y, out.halo.left + column, vector(lanes)]
            counted_pixels = counted * columns_counted
            if spec.mode == "average":
                mean = acc[0] / tirx.Broadcast(T.cast(counted_pixels, "float32"), lanes)
                real = T.Bind(mean / spec.scales[1] + float(spec.y.zero_point))
                stored = store_form(real, Rounding(0, spec.y.low, spec.y.high), out.dtype)
            else:
                # pixels in the padding are zero: they add nothing once the zero points of real ones are taken off
                pixels = 1 if spec.mode == "max" else (row_hi - row_lo) * (tap_hi - tap_lo)
                total = acc[0] - tirx.Broadcast(T.cast(pixels * spec.zero_point, "int32"), lanes)
                factor = T.float32(ratio) / T.cast(1 if spec.mode == "max" else counted_pixels, "float32")
                real = T.Bind(tirx.Cast(dtype_of(lanes), total) * tirx.Broadcast(factor, lanes))
                stored = store_form(real, spec.y, out.dtype)
            T.buffer_store(result, stored, place)

        for column in [*range(first), *range(last, out.w)]:
            tap_lo, tap_hi = ranges[column]
            window(column, tap_lo, tap_hi, counted_columns(spec, column))
        if first < last:
            with T.serial(first, last) as column:
                window(column, 0, spec.kernel[1], spec.kernel[1])

    return range_kernel(symbol, (spec.x, out), body)
