"""Contiguous runs of a row-major tensor: cutting them into vectors, copying and reducing them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tvm.tirx.script.builder import ir as T

from hetpart.graph.layout import Plain
from hetpart.kernels.cpu.emit import CHAINS, Buffer, Expr, flat, range_kernel, registers, storage_dtype
from hetpart.kernels.cpu.vectors import splat, vector


def vector_loop(length: Expr, widths: Sequence[int], body: Callable[[Expr, int], None]) -> None:
    """Emit ``body(start, width)`` for vectors that cover [0, length) once: of each width as many as fit.

    `widths` falls and ends in 1; each divides the one before.
    """
    done: Expr = 0
    for width in widths:
        steps = (length - done) // width
        if isinstance(steps, int) and steps == 0:
            continue
        with T.serial(0, steps) as i:
            body(done + i * width, width)
        done = length // width * width


def halvings(width: int) -> list[int]:
    """`width`, a power of two, its half, and so on down to 1: what `vector_loop` covers a rest with in few steps."""
    return [width >> bit for bit in range(width.bit_length())]


def map_vectors(length: Expr, at_least: int, lanes: int, body: Callable[[Expr, int], None]) -> None:
    """Emit ``body(start, width)`` for vectors that cover [0, length), the last of which overlaps its neighbour.

    For bodies that may do an element twice (they read nothing that they write). `at_least` is a length known at
    compile time; a run shorter than `lanes` becomes one short vector.
    """
    width = min(lanes, at_least)
    fits = isinstance(length, int) and length % width == 0
    with T.serial(0, (length + width - 1) // width) as i:
        body(i * width if fits else T.Bind(T.min(i * width, length - width)), width)


def copy_run(
    target: Buffer, target_start: Expr, source: Buffer, source_start: Expr, length: Expr, at_least: int, lanes: int
) -> None:
    """Copy `length` contiguous elements; for `at_least` see `map_vectors`."""

    def copy(start: Expr, width: int) -> None:
        T.buffer_store(target, source[vector(width, source_start + start)], [vector(width, target_start + start)])

    map_vectors(length, at_least, lanes, copy)


def reduce_run(
    length: int, lanes: int, neutral: float, combine: Callable[[Expr, Expr], Expr], value: Callable[[Expr, int], Expr]
) -> Expr:
    """`combine` over [0, length), as a scalar; ``value(start, width)`` gives a vector of elements.

    `CHAINS` vectors of partial results are kept and joined pairwise in the end.
    """
    width = CHAINS * lanes
    partial = registers((width,))
    T.buffer_store(partial, splat(T.float32(neutral), width), [vector(width)])

    def add(start: Expr, count: int) -> None:
        T.buffer_store(partial, combine(partial[vector(count)], value(start, count)), [vector(count)])

    vector_loop(length, (width, *halvings(lanes)), add)
    while width > 1:
        width //= 2
        T.buffer_store(partial, combine(partial[vector(width)], partial[vector(width, width)]), [vector(width)])
    return partial[0]


def copy_kernel(symbol: str, layout: Plain) -> Any:
    """``(x, out, lo, hi)`` of extent 1 that copies a row-major tensor of any dtype."""
    size, dtype = math.prod(layout.shape), storage_dtype(layout.dtype)

    def body(_: Expr, x: Buffer, out: Buffer) -> None:
        copy_run(flat(out, size, dtype), 0, flat(x, size, dtype), 0, size, size, 16)

    return range_kernel(symbol, (layout, layout), body)
