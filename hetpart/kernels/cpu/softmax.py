"""Softmax and log-softmax over the middle extent of a row-major (outer, length, inner) tensor.

With ``inner == 1`` a work item is one row, reduced across vector lanes. Otherwise the lanes run along `inner`, where
every lane is a softmax of its own, and a work item is a strip of `STRIP` lanes of one outer index. Arithmetic is in
float32; exponentials wait for their sum in `out`, in its type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.kernels.cpu.emit import Buffer, Expr, decode, flat, plain_real, range_kernel, registers
from hetpart.kernels.cpu.runs import halvings, map_vectors, reduce_run, vector_loop
from hetpart.kernels.cpu.steps import exp_below, log
from hetpart.kernels.cpu.vectors import cast, splat, vector
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
    plain_real(spec.x, spec.out)
    size = spec.outer * spec.length * spec.inner
    if math.prod(spec.x.shape) != size or math.prod(spec.out.shape) != size:
        raise InternalError("kernel-layout", f"{spec.x} is not {spec.outer} x {spec.length} x {spec.inner}")

    def body(item: Expr, x: Buffer, out: Buffer) -> None:
        source, result = flat(x, size, spec.x.dtype), flat(out, size, spec.out.dtype)
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

    def reduce(neutral: float, combine: Callable[[Expr, Expr], Expr], value: Callable[[Expr, int], Expr]) -> Expr:
        return reduce_run(spec.length, isa.lanes, neutral, combine, value)

    def add(a: Expr, b: Expr) -> Expr:
        return a + b

    def elements(buffer: Buffer, first: Expr, width: int) -> Expr:
        return cast(buffer[vector(width, start + first)], "float32")

    largest = T.Bind(reduce(-math.inf, T.max, lambda first, width: elements(x, first, width)))

    def shifted(first: Expr, width: int, shift: Expr) -> Expr:
        return elements(x, first, width) - splat(shift, width)

    def store(value: Expr, first: Expr, width: int) -> None:
        T.buffer_store(out, cast(value, spec.out.dtype), [vector(width, start + first)])

    def write(value: Callable[[Expr, int], Expr]) -> Callable[[Expr, int], None]:
        return lambda first, width: store(value(first, width), first, width)

    def weight(first: Expr, width: int) -> Expr:
        store(exp_below(shifted(first, width, largest)), first, width)
        return elements(out, first, width)

    if spec.log:
        total = reduce(0.0, add, lambda first, width: exp_below(shifted(first, width, largest)))
        shift = T.Bind(largest + log(total))
        map_vectors(spec.length, spec.length, isa.lanes, write(lambda first, width: shifted(first, width, shift)))
        return
    inverse = T.Bind(T.float32(1) / reduce(0.0, add, weight))
    scaled = write(lambda first, width: elements(out, first, width) * splat(inverse, width))
    vector_loop(spec.length, halvings(isa.lanes), scaled)


def _lanes(spec: SoftmaxSpec, x: Buffer, out: Buffer, start: Expr, lanes: int) -> None:
    """`lanes` neighbouring softmaxes, each with stride `inner`."""
    largest, total = registers((lanes,)), registers((lanes,))
    all_lanes = vector(lanes)

    def at(i: Expr) -> Expr:
        return vector(lanes, start + i * spec.inner)

    def load(buffer: Buffer, i: Expr) -> Expr:
        return cast(buffer[at(i)], "float32")

    def store(value: Expr, i: Expr) -> None:
        T.buffer_store(out, cast(value, spec.out.dtype), [at(i)])

    T.buffer_store(largest, splat(T.float32("-inf"), lanes), [all_lanes])
    T.buffer_store(total, splat(T.float32(0), lanes), [all_lanes])
    with T.serial(0, spec.length) as i:
        T.buffer_store(largest, T.max(largest[all_lanes], load(x, i)), [all_lanes])
    with T.serial(0, spec.length) as i:
        value = exp_below(load(x, i) - largest[all_lanes])
        if not spec.log:
            store(value, i)
            value = load(out, i)
        T.buffer_store(total, total[all_lanes] + value, [all_lanes])
    if spec.log:
        T.buffer_store(total, largest[all_lanes] + log(total[all_lanes]), [all_lanes])
    else:
        T.buffer_store(total, splat(T.float32(1), lanes) / total[all_lanes], [all_lanes])
    with T.serial(0, spec.length) as i:
        store(load(x, i) - total[all_lanes] if spec.log else load(out, i) * total[all_lanes], i)
