"""Softmax and log-softmax over the middle extent of a row-major (outer, length, inner) tensor.

With ``inner == 1`` a work item is one row, reduced across vector lanes. Otherwise the lanes run along `inner`, where
every lane is a softmax of its own, and a work item is a strip of `STRIP` lanes of one outer index.
"""

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
    decode,
    flat,
    map_vectors,
    plain_float32,
    range_kernel,
    reduce_run,
    registers,
    vector_loop,
    vectorized,
)
from hetpart.kernels.cpu.steps import exp, log
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import SoftmaxSpec

STRIP = 64
"""Positions of `inner` per work item: whole cache lines, whatever the vector width."""


def extent(spec: SoftmaxSpec, isa: Isa) -> int:
    """Rows, or strips over all outer indices."""
    return spec.outer * -(-spec.inner // STRIP)


def pack(spec: SoftmaxSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Softmax has no constants."""
    return ()


def prim_func(spec: SoftmaxSpec, isa: Isa, symbol: str) -> Any:
    """``(x, out, lo, hi)``."""
    plain_float32(spec.x, spec.out)
    size = spec.outer * spec.length * spec.inner
    if spec.x.size_bytes != 4 * size or spec.out.size_bytes != 4 * size:
        raise InternalError("kernel-layout", f"{spec.x} is not {spec.outer} x {spec.length} x {spec.inner}")

    def body(item: Expr, x: Buffer, out: Buffer) -> None:
        source, result = flat(x, size, "float32"), flat(out, size, "float32")
        if spec.inner == 1:
            _row(spec, isa, source, result, T.Bind(item * spec.length))
            return
        outer, strip = decode(item, (spec.outer, -(-spec.inner // STRIP)))
        start = T.Bind(outer * (spec.length * spec.inner) + strip * STRIP)
        width = T.Bind(T.min(STRIP, spec.inner - strip * STRIP))
        with T.serial(0, width // isa.lanes) as group:
            _lanes(spec, source, result, T.Bind(start + group * isa.lanes), isa.lanes)
        with T.serial(width // isa.lanes * isa.lanes, width) as rest:
            _lanes(spec, source, result, T.Bind(start + rest), 1)

    return range_kernel(symbol, (spec.x, spec.out), body)


def _row(spec: SoftmaxSpec, isa: Isa, x: Buffer, out: Buffer, start: Expr) -> None:
    """The softmax of one contiguous row."""
    lanes = isa.lanes
    largest = T.Bind(reduce_run(spec.length, lanes, -math.inf, T.max, lambda i: x[start + i]))
    if spec.log:
        total = reduce_run(spec.length, lanes, 0.0, lambda a, b: a + b, lambda i: exp(x[start + i] - largest))
        shift = T.Bind(largest + log(total))
        map_vectors(spec.length, spec.length, lanes, lambda i: T.buffer_store(out, x[start + i] - shift, [start + i]))
        return
    map_vectors(
        spec.length, spec.length, lanes, lambda i: T.buffer_store(out, exp(x[start + i] - largest), [start + i])
    )
    total = reduce_run(spec.length, lanes, 0.0, lambda a, b: a + b, lambda i: out[start + i])
    inverse = T.Bind(T.float32(1) / total)
    vector_loop(spec.length, (lanes, 1), lambda i, _: T.buffer_store(out, out[start + i] * inverse, [start + i]))


def _lanes(spec: SoftmaxSpec, x: Buffer, out: Buffer, start: Expr, lanes: int) -> None:
    """`lanes` neighbouring softmaxes, each with stride `inner`."""
    largest, total = registers((lanes,)), registers((lanes,))

    with vectorized(lanes) as v:
        T.buffer_store(largest, T.float32("-inf"), [v])
        T.buffer_store(total, T.float32(0), [v])
    with T.serial(0, spec.length) as i, vectorized(lanes) as v:
        T.buffer_store(largest, T.max(largest[v], x[start + i * spec.inner + v]), [v])
    with T.serial(0, spec.length) as i, vectorized(lanes) as v:
        at = start + i * spec.inner + v
        if spec.log:
            T.buffer_store(total, total[v] + exp(x[at] - largest[v]), [v])
        else:
            T.buffer_store(out, exp(x[at] - largest[v]), [at])
            T.buffer_store(total, total[v] + out[at], [v])
    with vectorized(lanes) as v:
        T.buffer_store(total, largest[v] + log(total[v]) if spec.log else T.float32(1) / total[v], [v])
    with T.serial(0, spec.length) as i, vectorized(lanes) as v:
        at = start + i * spec.inner + v
        T.buffer_store(out, x[at] - total[v] if spec.log else out[at] * total[v], [at])
