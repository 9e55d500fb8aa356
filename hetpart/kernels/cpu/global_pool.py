"""Mean or maximum over height and width of a blocked map: one channel block per work item.

Each image row is reduced on its own and then joined to the total, so that rounding grows with height plus width and
not with their product.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.kernels.cpu.emit import Buffer, Expr, locate_row, range_kernel, registers, row_extent, zero_halo
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import GlobalPoolSpec

CHAINS = 4
"""Independent accumulators per row: enough to hide the latency of an addition."""


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
    chains = min(CHAINS, x_map.w)
    block = out.block
    combine = T.max if spec.mode == "max" else lambda a, b: a + b
    neutral = T.float32("-inf" if spec.mode == "max" else 0.0)

    def body(item: Expr, x: Buffer, result: Buffer) -> None:
        image, b, y = locate_row(item, out)
        zero_halo(result, out, image, b, y)
        total = registers((block,))
        row = registers((chains * block,))
        with T.vectorized(0, block) as v:
            T.buffer_store(total, neutral, [v])
        with T.serial(0, x_map.h) as h:

            def add(column: Expr, chain: Expr) -> None:
                with T.vectorized(0, block) as v:
                    value = x[image, b, x_map.halo.top + h, x_map.halo.left + column, v]
                    T.buffer_store(row, combine(row[chain * block + v], value), [chain * block + v])

            with T.unroll(0, chains) as chain, T.vectorized(0, block) as v:
                T.buffer_store(row, neutral, [chain * block + v])
            with T.serial(0, x_map.w // chains) as group, T.unroll(0, chains) as chain:
                add(group * chains + chain, chain)
            with T.unroll(0, x_map.w % chains) as rest:
                add(x_map.w // chains * chains + rest, rest)
            with T.unroll(0, chains) as chain, T.vectorized(0, block) as v:
                T.buffer_store(total, combine(total[v], row[chain * block + v]), [v])
        with T.vectorized(0, block) as v:
            value = total[v] if spec.mode == "max" else total[v] / T.float32(x_map.h * x_map.w)
            T.buffer_store(result, value, [image, b, out.halo.top, out.halo.left, v])

    return range_kernel(symbol, (x_map, out), body)
