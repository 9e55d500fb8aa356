"""Quantised row-major matrix times constant int8 matrix: Gemm, and MatMul with constant weights.

A work item is one register tile, cut and ordered as in hetpart.kernels.cpu.gemm; a step of the reduction takes four
products at once (hetpart.kernels.cpu.dot). Columns are padded to whole vectors of weights; what a row stores ends with
vectors of 8, 4, 2 and 1 lanes, so that nothing is written beyond its end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.graph.layout import Plain
from hetpart.kernels.cpu.dot import GROUP, activations, add_dot, offset
from hetpart.kernels.cpu.emit import Buffer, Expr, decode, flat, range_kernel
from hetpart.kernels.cpu.requantise import finish
from hetpart.kernels.cpu.tiles import Run, choose_tile, even_runs, on_piece, piece_count
from hetpart.kernels.cpu.vectors import Accumulators, splat, vector
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import QDenseSpec

RESIDENT_BYTES = 512 << 10
"""Weights up to this size stay in the L2 cache while the rows of the left-hand side pass by."""

UNROLL = 64
"""Dot products in the unrolled body of the reduction loop, about."""


def extent(spec: QDenseSpec, isa: Isa) -> int:
    """Register tiles."""
    rows, columns = _tiles(spec, isa)
    return piece_count(rows) * piece_count(columns)


def pack(spec: QDenseSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Weights, flat: per tile of columns (k / 4, columns of the tile, 4); then sums to start with and multipliers."""
    w = np.asarray(constants["w"])
    quads, width = -(-spec.k // GROUP), _vectors(spec, isa) * isa.lanes
    padded = np.pad(w, ((0, quads * GROUP - spec.k), (0, width - spec.n)))
    steps = padded.reshape(quads, GROUP, width).swapaxes(1, 2)
    tiles = [
        steps[:, first * isa.lanes : (first + run.size) * isa.lanes].reshape(-1)
        for run in _tiles(spec, isa)[1]
        for first in range(run.start, run.stop, run.size)
    ]
    zero_point = int(constants["zero_point"]) + offset(spec.x.dtype, isa.lanes, isa)
    start = np.asarray(constants["b"]).astype(np.int64) - zero_point * w.astype(np.int64).sum(0)
    start = start.astype(np.uint64).astype(np.uint32).view(np.int32)  # modulo 2^32, like the sums
    scale = np.asarray(constants["scale"], np.float32)
    return (np.concatenate(tiles), *(np.pad(array, (0, width - spec.n)) for array in (start, scale)))


def prim_func(spec: QDenseSpec, isa: Isa, symbol: str) -> Any:
    """``(x, w, b, scale, out, lo, hi)``."""
    _check(spec)
    width, quads = _vectors(spec, isa) * isa.lanes, -(-spec.k // GROUP)
    constants = (Plain((quads * width * GROUP,), "int8"), Plain((width,), "int32"), Plain((width,)))
    arguments = (spec.x, *constants, spec.out)
    rows, columns = _tiles(spec, isa)
    counts = piece_count(rows), piece_count(columns)

    def body(item: Expr, *buffers: Buffer) -> None:
        views = [flat(b, math.prod(a.shape), a.dtype) for b, a in zip(buffers, arguments, strict=True)]
        if spec.k * spec.n <= RESIDENT_BYTES:
            row_tile, column_tile = decode(item, counts)
        else:
            column_tile, row_tile = decode(item, counts[::-1])

        def tile(row: Expr, count: int) -> None:
            on_piece(column_tile, columns, lambda first, size: _tile(spec, isa, views, row, count, first, size))

        on_piece(row_tile, rows, tile)

    return range_kernel(symbol, arguments, body)


def _tile(spec: QDenseSpec, isa: Isa, views: list[Buffer], row: Expr, rows: int, first: Expr, vectors: int) -> None:
    """`rows` rows from `row` on by `vectors` vectors of columns from vector `first` on."""
    x, w, b, scale, out = views
    lanes, quads = isa.lanes, -(-spec.k // GROUP)
    acc = Accumulators([lanes] * vectors, rows, "int32")
    acc.fill([b[vector(lanes, (first + v) * lanes)] for v in range(vectors)])

    def step(quad: Expr, last: bool = False) -> None:
        places = [((first * quads) + quad * vectors + v) * lanes * GROUP for v in range(vectors)]
        weights = [T.Bind(w[vector(lanes * GROUP, place)]) for place in places]
        for r in range(rows):
            start = (row + r) * spec.k + quad * GROUP
            stored = _partial(x, start, spec) if last else tirx.reinterpret("int32", x[vector(GROUP, start)])
            inputs = T.Bind(splat(activations(stored, spec.x.dtype, lanes, isa), lanes))
            for v, weight in enumerate(weights):
                acc.set(v, r, add_dot(acc.get(v, r), inputs, weight, spec.x.dtype, isa))

    whole = spec.k // GROUP
    unroll = max(1, min(whole, UNROLL // (rows * vectors)))
    if whole // unroll:
        with T.serial(0, whole // unroll) as outer:
            for inner in range(unroll):
                step(outer * unroll + inner)
    for quad in range(whole // unroll * unroll, whole):
        step(quad)
    if spec.k % GROUP:
        step(whole, last=True)
    for v in range(vectors):
        multiplier = T.Bind(scale[vector(lanes, (first + v) * lanes)])
        for r in range(rows):
            value = finish(acc.get(v, r), multiplier, spec.y, spec.out.dtype)
            _store(spec, out, row + r, (first + v) * lanes, value, lanes)


def _partial(x: Buffer, start: Expr, spec: QDenseSpec) -> Expr:
    """The last activations of a row, fewer than four, as an int32; the missing ones are zero."""
    word: Expr = T.int32(0)
    for i in range(spec.k % GROUP):
        word = word | (tirx.Cast("int32", x[start + i]) & 255) << (8 * i)
    return word


def _store(spec: QDenseSpec, out: Buffer, row: Expr, column: Expr, value: Expr, lanes: int) -> None:
    """Store a vector, or as much of it as the row has room for."""
    rest = spec.n % lanes
    if not rest:
        T.buffer_store(out, value, [vector(lanes, row * spec.n + column)])
        return
    value = T.Bind(value)

    def store_rest() -> None:
        done, width = 0, lanes
        while done < rest:
            width //= 2
            if rest - done >= width:
                part = tirx.Shuffle([value], list(range(done, done + width)))
                T.buffer_store(out, part, [vector(width, row * spec.n + column + done)])
                done += width

    if isinstance(column, int) and column + lanes > spec.n:
        store_rest()
        return
    with T.If(column + lanes <= spec.n):
        with T.Then():
            T.buffer_store(out, value, [vector(lanes, row * spec.n + column)])
        with T.Else():
            store_rest()


def _vectors(spec: QDenseSpec, isa: Isa) -> int:
    return -(-spec.n // isa.lanes)


def _tiles(spec: QDenseSpec, isa: Isa) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """Rows, and columns counted in vectors."""
    shape = choose_tile(_vectors(spec, isa), spec.m, 1, isa)
    return even_runs(spec.m, shape.rows), even_runs(_vectors(spec, isa), shape.vectors)


def _check(spec: QDenseSpec) -> None:
    x, out = spec.x, spec.out
    if math.prod(x.shape) != spec.m * spec.k or math.prod(out.shape) != spec.m * spec.n or out.shape[-1] != spec.n:
        raise InternalError("kernel-layout", f"{x} times {spec.k}x{spec.n} is not {out}")
    if x.dtype not in ("int8", "uint8") or (out.dtype == "float32") != (spec.y is None):
        raise InternalError("kernel-layout", f"a quantised product cannot go from {x} to {out}")
