"""Mean or maximum over height and width of a blocked map: one channel block per work item."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.kernels.cpu.emit import (
    Buffer,
    Expr,
    blocked_element,
    locate_row,
    range_kernel,
    reduce_plane,
    registers,
    row_extent,
    zero_halo,
)
from hetpart.kernels.cpu.vectors import cast, largest
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import GlobalPoolSpec


def extent(spec: GlobalPoolSpec, isa: Isa) -> int:
    """Channel blocks over all images."""
    return row_extent(spec.out)


def pack(spec: GlobalPoolSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Global pooling has no constants."""
    return ()


def prim_func(spec: GlobalPoolSpec, isa: Isa, symbol: str) -> Any:
    """``(x, out, lo, hi)``."""
    x_map, out = spec.x, spec.out
    if spec.mode not in ("max", "average"):
        raise InternalError("kernel-spec", f"unknown pooling mode {spec.mode!r}")
    if (x_map.n, x_map.c, x_map.block, 1, 1) != (out.n, out.c, out.block, out.h, out.w):
        raise InternalError("kernel-layout", f"global pooling cannot go from {x_map} to {out}")

    def combine(a: Expr, b: Expr) -> Expr:
        return largest((a, b), isa) if spec.mode == "max" else a + b

    def body(item: Expr, x: Buffer, result: Buffer) -> None:
        image, block, y = locate_row(item, out)
        zero_halo(result, out, image, block, y)
        total = registers((out.block,))
        reduce_plane(
            x_map,
            -math.inf if spec.mode == "max" else 0.0,
            combine,
            lambda row, column, v: cast(blocked_element(x, x_map, image, block, row, column, v), "float32"),
            total,
        )
        with T.vectorized(0, out.block) as v:
            value = total[v] if spec.mode == "max" else total[v] / T.float32(x_map.h * x_map.w)
            T.buffer_store(result, cast(value, out.dtype), [image, block, out.halo.top, out.halo.left, v])

    return range_kernel(symbol, (x_map, out), body)
