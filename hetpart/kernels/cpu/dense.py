"""Row-major matrix times constant matrix: Gemm, and MatMul with constant weights.

A work item is one register tile. The weights of a network are in no cache when their layer begins: while the rows pass
by one tile of columns, each of them asks for its share of the next tile's weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from hetpart.errors import InternalError
from hetpart.graph.layout import Plain
from hetpart.kernels.cpu.emit import Buffer, Expr, flat, plain_real, prefetch, range_kernel
from hetpart.kernels.cpu.gemm import GemmTile, GemmTiles, aligned_shape, operand_slice
from hetpart.kernels.cpu.packing import pack_bias
from hetpart.kernels.cpu.tiles import piece_count
from hetpart.kernels.cpu.vectors import vector, zeros
from hetpart.kernels.half import as_stored
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import DenseSpec

LINE = 16
"""Floats of a cache line."""


def extent(spec: DenseSpec, isa: Isa) -> int:
    """Register tiles."""
    return _tiles(spec, isa).count


def pack(spec: DenseSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Weights, flat: per tile of columns (k, columns of the tile); then the bias as it is."""
    w = np.asarray(constants["w"], np.float32)
    tiles = [
        w[:, column : column + run.size].reshape(-1)
        for run in _tiles(spec, isa).columns
        for column in range(run.start, run.stop, run.size)
    ]
    return (as_stored(np.concatenate(tiles), spec.weights), *pack_bias(constants, spec.n))


def prim_func(spec: DenseSpec, isa: Isa, symbol: str) -> Any:
    """``(x, operands..., w[, b], out, lo, hi)``."""
    _check(spec)
    tiles = _tiles(spec, isa)
    constants = [Plain((spec.k * spec.n,), spec.weights)]
    if spec.bias:
        constants.append(Plain((spec.n,)))
    arguments = (spec.x, *spec.operands, *constants, spec.out)

    # float16 sums come in runs, each of which would ask for the same lines again
    fetches = piece_count(tiles.rows) > 1 and not tiles.rows_outer and spec.weights == "float32"

    def body(item: Expr, *buffers: Buffer) -> None:
        views = [flat(b, math.prod(a.shape), a.dtype) for b, a in zip(buffers, arguments, strict=True)]
        x, out = views[0], views[-1]
        operands = views[1 : 1 + len(spec.operands)]
        w, b = views[1 + len(spec.operands)], views[-2] if spec.bias else None

        def tile(row: Expr, rows: int, column: Expr, columns: int) -> None:
            def operand(i: int, r: Expr, c: int, width: int) -> Expr:
                shape = aligned_shape(spec.operands[i], len(spec.out.shape))
                return operand_slice(operands[i], shape, spec.out.shape, row + r, column + c, width)

            # lines that each row asks for, of a next tile as large as this one
            share = -(-spec.k * columns // (spec.m * LINE))

            def fetch(turn: Expr, turns: int) -> None:
                each = -(-share * rows // turns)
                for i in range(each):
                    line = row * share + turn * each + i
                    prefetch(w, (column + columns) * spec.k + line * LINE, into_l2=True)

            GemmTile(
                rows,
                columns,
                spec.k,
                left=lambda r, k: x[(row + r) * spec.k + k],
                # the tile that starts at a column starts at that column times k in the packed weights
                right=lambda k, c, width: w[vector(width, column * spec.k + k * columns + c)],
                start=lambda c, width: zeros(width) if b is None else b[vector(width, column + c)],
                place=lambda r, c, width: vector(width, (row + r) * spec.n + column + c),
                operand=operand,
                fetch=fetch if fetches else None,
                element=spec.weights,
            ).emit(out, spec.steps, isa)

        tiles.locate(item, tile)

    return range_kernel(symbol, arguments, body)


def _tiles(spec: DenseSpec, isa: Isa) -> GemmTiles:
    return GemmTiles.of(spec.m, spec.k, spec.n, isa, spec.steps, spec.weights)


def _check(spec: DenseSpec) -> None:
    plain_real(spec.x, spec.out, *spec.operands)
    if math.prod(spec.x.shape) != spec.m * spec.k or math.prod(spec.out.shape) != spec.m * spec.n:
        raise InternalError("kernel-layout", f"{spec.x} times {spec.k}x{spec.n} is not {spec.out}")
    if spec.out.shape[-1] != spec.n:
        raise InternalError("kernel-layout", f"the last dimension of {spec.out} must hold the {spec.n} columns")
