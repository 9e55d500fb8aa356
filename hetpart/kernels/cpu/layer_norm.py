"""Layer (and RMS) normalisation of row-major rows: one row per work item.

Three passes over a row that stays in the first-level cache: mean, variance around it, result. Two-pass variance does
not cancel, whatever the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.graph.layout import Plain
from hetpart.kernels.cpu.emit import Buffer, Expr, flat, map_vectors, plain_float32, range_kernel, reduce_run
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import LayerNormSpec


def extent(spec: LayerNormSpec, isa: Isa) -> int:
    """Rows."""
    return spec.rows


def pack(spec: LayerNormSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """``scale`` and, with `bias`, ``b``, both (length,) float32."""
    roles = ("scale", "b") if spec.bias else ("scale",)
    return tuple(np.array(constants[role], dtype=np.float32).reshape(spec.length) for role in roles)


def prim_func(spec: LayerNormSpec, isa: Isa, symbol: str) -> Any:
    """``(x, scale, [b,] out, lo, hi)``."""
    plain_float32(spec.x, spec.out)
    size = spec.rows * spec.length
    if spec.x.size_bytes != 4 * size or spec.out.size_bytes != 4 * size:
        raise InternalError("kernel-layout", f"{spec.x} does not hold {spec.rows} rows of {spec.length}")

    def body(item: Expr, x: Buffer, scale: Buffer, *rest: Buffer) -> None:
        source, result = flat(x, size, "float32"), flat(rest[-1], size, "float32")
        start = T.Bind(item * spec.length)

        def total(value: Callable[[Expr], Expr]) -> Expr:
            return reduce_run(spec.length, isa.lanes, 0.0, lambda a, b: a + b, value)

        mean: Expr = T.float32(0)
        if not spec.rms:
            mean = T.Bind(total(lambda i: source[start + i]) / T.float32(spec.length))

        def centred(i: Expr) -> Expr:
            return source[start + i] if spec.rms else source[start + i] - mean

        variance = T.Bind(total(lambda i: centred(i) * centred(i)) / T.float32(spec.length))
        inverse = T.Bind(T.float32(1) / T.sqrt(variance + T.float32(spec.epsilon)))

        def write(i: Expr) -> None:
            value = centred(i) * inverse * scale[i]
            T.buffer_store(result, value + rest[0][i] if spec.bias else value, [start + i])

        map_vectors(spec.length, spec.length, isa.lanes, write)

    vector = Plain((spec.length,))
    return range_kernel(symbol, (spec.x, *(vector,) * (2 if spec.bias else 1), spec.out), body)
