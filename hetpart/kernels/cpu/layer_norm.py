"""Layer (and RMS) normalisation of row-major rows: one row per work item.

Three passes over a row that stays in the first-level cache: mean, variance around it, result. Two-pass variance does
not cancel, whatever the mean. Arithmetic is in float32, whatever the rows are stored in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.graph.layout import Plain
from hetpart.kernels.cpu.emit import Buffer, Expr, flat, plain_real, range_kernel
from hetpart.kernels.cpu.runs import map_vectors, reduce_run
from hetpart.kernels.cpu.vectors import cast, splat, vector
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
    plain_real(spec.x, spec.out)
    size = spec.rows * spec.length
    if math.prod(spec.x.shape) != size or math.prod(spec.out.shape) != size:
        raise InternalError("kernel-layout", f"{spec.x} does not hold {spec.rows} rows of {spec.length}")

    def body(item: Expr, x: Buffer, scale: Buffer, *rest: Buffer) -> None:
        source, result = flat(x, size, spec.x.dtype), flat(rest[-1], size, spec.out.dtype)
        start = T.Bind(item * spec.length)

        def mean_of(value: Callable[[Expr, int], Expr]) -> Expr:
            total = reduce_run(spec.length, isa.lanes, 0.0, lambda a, b: a + b, value)
            return T.Bind(total / T.float32(spec.length))

        def elements(first: Expr, width: int) -> Expr:
            return cast(source[vector(width, start + first)], "float32")

        mean = T.float32(0) if spec.rms else mean_of(elements)

        def centred(first: Expr, width: int) -> Expr:
            return elements(first, width) if spec.rms else elements(first, width) - splat(mean, width)

        variance = mean_of(lambda first, width: centred(first, width) * centred(first, width))
        inverse = T.Bind(T.float32(1) / T.sqrt(variance + T.float32(spec.epsilon)))

        def write(first: Expr, width: int) -> None:
            value = centred(first, width) * splat(inverse, width) * scale[vector(width, first)]
            if spec.bias:
                value = value + rest[0][vector(width, first)]
            T.buffer_store(result, cast(value, spec.out.dtype), [vector(width, start + first)])

        map_vectors(spec.length, spec.length, isa.lanes, write)

    per_element = Plain((spec.length,))
    return range_kernel(symbol, (spec.x, *(per_element,) * (2 if spec.bias else 1), spec.out), body)
