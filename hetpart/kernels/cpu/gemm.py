"""Register tiles of row-major matrix products, for dense layers and for matmul.

A tile is a few rows by a few vectors of columns. What is left of the columns after whole vectors is a tile of its own,
made of vectors of 8, 4, 2 and 1 lanes, so that nothing is read or written beyond the end of a row.

All rows pass by one tile of columns, whose part of the right-hand side stays in the L1 cache or near it, before the
next one begins; the other way round where only the right-hand side fits into the L2 cache.

In float16 a sum is cut into runs, as in a convolution (see hetpart.kernels.cpu.conv_plan), which are added up in
float32: in the output, or where that is of float16 in a tile of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Plain
from hetpart.kernels.cpu.conv_plan import HALF_RUN
from hetpart.kernels.cpu.emit import Buffer, Expr, decode, registers
from hetpart.kernels.cpu.steps import is_long, render
from hetpart.kernels.cpu.tiles import Run, even_runs, on_piece, piece_count, rank_tiles
from hetpart.kernels.cpu.vectors import Accumulators, cast, splat, vector, zeros
from hetpart.kernels.isa import Isa
from hetpart.kernels.strides import broadcast_strides

UNROLL = 112
"""Multiply-adds in the unrolled body of the reduction loop, about."""

UNROLLED_STEPS = 8
"""Steps of the reduction in it, at most. LLVM loads far ahead: with more steps of few multiply-adds it spills."""

LONG_VECTORS = 4
"""A long epilogue takes so many vectors at a time: each is one chain of dependent instructions."""


@dataclass(frozen=True)
class GemmTiles:
    """How an (m, k) x (k, n) product is cut; the sizes of `columns` are counted in elements."""

    rows: tuple[Run, ...]
    columns: tuple[Run, ...]
    rows_outer: bool

    @staticmethod
    def of(m: int, k: int, n: int, isa: Isa, steps: Sequence[Step] = (), element: str = "float32") -> GemmTiles:
        lanes = lanes_of(element, isa)
        whole, rest = divmod(n, lanes)
        ranked = rank_tiles(max(1, whole), m, 1, isa)
        even = [shape for shape in ranked if shape.vectors % LONG_VECTORS == 0] if is_long(steps) else []
        shape = (even or ranked)[0]
        columns = [Run(r.start * lanes, r.count, r.size * lanes) for r in even_runs(whole, shape.vectors)]
        if rest:
            columns.append(Run(whole * lanes, 1, rest))
        right_bytes, left_bytes = k * n * np.dtype(element).itemsize, 4 * m * k
        rows_outer = right_bytes <= isa.l2_bytes // 2 < left_bytes
        return GemmTiles(even_runs(m, shape.rows), tuple(columns), rows_outer)

    @property
    def count(self) -> int:
        return piece_count(self.rows) * piece_count(self.columns)

    def locate(self, tile: Expr, emit: Callable[[Expr, int, Expr, int], None]) -> None:
        """Emit ``emit(row, rows, column, columns)`` for tile number `tile`: one copy of the code per tile shape."""
        counts = piece_count(self.rows), piece_count(self.columns)
        if self.rows_outer:
            row_tile, column_tile = decode(tile, counts)
        else:
            column_tile, row_tile = decode(tile, counts[::-1])
        on_piece(
            row_tile,
            self.rows,
            lambda row, rows: on_piece(
                column_tile, self.columns, lambda column, columns: emit(row, rows, column, columns)
            ),
        )


_Place = Callable[[Expr, int, int], Expr]
"""``place(row, column, width)``: indices of a vector of a tile."""


@dataclass(frozen=True)
class GemmTile:
    """One register tile of a product; rows and columns count from its corner.

    Attributes:
        rows: how many.
        columns: how many.
        depth: products per sum.
        left: ``left(row, k)``, a scalar.
        right: ``right(k, column, width)``, a vector.
        start: ``start(column, width)``, what the sums begin with.
        place: indices of a vector of `out`.
        operand: ``operand(i, row, column, width)``, a vector.
        fetch: ``fetch(i, count)`` is emitted in turn `i` of the `count` turns of the reduction loop, to prefetch.
        element: the type that is multiplied, and added up in.
    """

    rows: int
    columns: int
    depth: int
    left: Callable[[Expr, Expr], Expr]
    right: Callable[[Expr, int, int], Expr]
    start: Callable[[int, int], Expr]
    place: _Place
    operand: Callable[[int, Expr, int, int], Expr]
    fetch: Callable[[Expr, int], None] | None = None
    element: str = "float32"

    def emit(self, out: Buffer, steps: Sequence[Step], isa: Isa) -> None:
        """The sums, then the epilogue: in registers, or if it or the sum is long, on the stored sums row by row."""
        pieces = _pieces(self.columns, lanes_of(self.element, isa))
        acc = Accumulators([width for _, width in pieces], self.rows, self.element)
        in_runs = self.element == "float16" and self.depth > HALF_RUN
        if not in_runs and not is_long(steps):
            self._add_run(
                acc, pieces, 0, self.depth, lambda _, *piece: self.start(*piece),
                lambda total, row, *piece: self._store(out, self._finish(steps, total, row, *piece), row, *piece),
            )  # fmt: skip
            return

        def in_tile(row: Expr, column: int, width: int) -> Expr:
            return vector(width, row * self.columns + column)

        sums, at = out, self.place
        if out.dtype != "float32":
            sums, at = registers((self.rows * self.columns,)), in_tile
        self._add_runs(sums, at, acc, pieces)
        if steps or sums is not out:
            with T.serial(0, self.rows) as row:
                for piece in _pieces(self.columns, LONG_VECTORS * isa.lanes):
                    self._store(out, self._finish(steps, sums[at(row, *piece)], row, *piece), row, *piece)

    def _store(self, out: Buffer, value: Expr, row: Expr, column: int, width: int) -> None:
        T.buffer_store(out, cast(value, str(out.dtype)), [self.place(row, column, width)])

    def _add_runs(self, sums: Buffer, at: _Place, acc: Accumulators, pieces: Sequence[tuple[int, int]]) -> None:
        """The whole sums, in float32 in `sums`, run by run."""

        def keep(total: Expr, row: int, column: int, width: int) -> None:
            T.buffer_store(sums, total, [at(row, column, width)])

        def so_far(row: int, column: int, width: int) -> Expr:
            return sums[at(row, column, width)]

        runs = max(1, -(-self.depth // HALF_RUN)) if self.element == "float16" else 1
        length = max(1, -(-self.depth // runs))
        self._add_run(acc, pieces, 0, min(length, self.depth), lambda _, *piece: self.start(*piece), keep)
        whole = self.depth // length
        if whole > 1:
            with T.serial(1, whole) as number:
                self._add_run(acc, pieces, number * length, length, so_far, keep)
        if whole and self.depth % length:
            self._add_run(acc, pieces, whole * length, self.depth % length, so_far, keep)

    def _add_run(
        self,
        acc: Accumulators,
        pieces: Sequence[tuple[int, int]],
        first: Expr,
        products: int,
        start: Callable[[int, int, int], Expr],
        keep: Callable[[Expr, int, int, int], None],
    ) -> None:
        """``start`` plus `products` products from number `first` on, in float32, for ``keep``, vector by vector."""
        if self.element == "float32":  # then there is one run, and all rows start alike
            acc.fill([start(0, *piece) for piece in pieces])
        else:
            acc.fill([zeros(width, self.element) for _, width in pieces])
        self._reduce(acc, pieces, first, products)
        for row in range(self.rows):
            for v, piece in enumerate(pieces):
                total = acc.get(v, row)
                if self.element != "float32":
                    total = start(row, *piece) + cast(total, "float32")
                keep(total, row, *piece)

    def _reduce(self, acc: Accumulators, pieces: Sequence[tuple[int, int]], first: Expr, depth: int) -> None:
        """Adds `depth` products from number `first` on."""

        def step(k: Expr) -> None:
            acc.rank_one([self.right(k, *piece) for piece in pieces], [self.left(r, k) for r in range(self.rows)])

        unroll = max(1, min(depth, UNROLLED_STEPS, UNROLL // (self.rows * len(pieces))))
        with T.serial(0, depth // unroll) as outer:
            if self.fetch is not None:
                self.fetch(outer, depth // unroll)
            for inner in range(unroll):
                step(first + outer * unroll + inner)
        for k in range(depth // unroll * unroll, depth):
            step(first + k)

    def _finish(self, steps: Sequence[Step], total: Expr, row: Expr, column: int, width: int) -> Expr:
        def operand(i: int) -> Expr:
            return self.operand(i, row, column, width)

        if width > 1:
            return render(steps, total, operand)
        # two equal lanes, because long steps compile fast for vectors only
        pair = render(steps, splat(total, 2), lambda i: splat(operand(i), 2))
        return tirx.Shuffle([pair], [0])


def lanes_of(element: str, isa: Isa) -> int:
    """Numbers of that type in a vector register."""
    return isa.lanes * 4 // np.dtype(element).itemsize


def operand_slice(
    buffer: Buffer, operand: Sequence[int], out: Sequence[int], row: Expr, column: Expr, width: int
) -> Expr:
    """`width` elements of a row-major operand that broadcasts to shape `out`, at a position of the output.

    Args:
        buffer: the operand, seen as one dimension.
        operand: its shape, of the same rank as `out`.
        out: the output's shape; its last dimension holds the columns.
        row: index into all other dimensions, flattened.
        column: first column.
        width: how many.
    """
    *outer, inner = broadcast_strides(operand, out)
    offset: Expr = 0
    for stride, coordinate in zip(outer, decode(row, out[:-1]) if outer else [], strict=True):
        if stride:
            offset = offset + coordinate * stride
    if inner == 0:
        return splat(buffer[offset], width)
    return buffer[vector(width, offset + column)]


def aligned_shape(operand: Plain, rank: int) -> tuple[int, ...]:
    """The operand's shape with leading ones up to `rank` dimensions."""
    return (1,) * (rank - len(operand.shape)) + operand.shape


def _pieces(columns: int, lanes: int) -> list[tuple[int, int]]:
    """(first column, width) of the vectors of a tile: whole ones, then powers of two."""
    pieces = []
    done = 0
    width = lanes
    while done < columns:
        if columns - done >= width:
            pieces.append((done, width))
            done += width
        else:
            width //= 2
    return pieces
