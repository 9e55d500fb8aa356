"""Cutting an iteration space into register tiles, and which tile shape suits an instruction set.

A tile keeps `vectors` x `pixels` accumulators in registers. Each step of the reduction loads `vectors` weight vectors,
broadcasts one input value per pixel, and does one fused multiply-add per accumulator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from tvm.tirx.script.builder import ir as T

from hetpart.kernels.isa import Isa

Expr = Any  # tvm PrimExpr or int

FMA_IN_FLIGHT = 8
"""Fused multiply-adds that must be independent to fill two pipes of latency 4 (Skylake-SP and later, Cortex-A76)."""


@dataclass(frozen=True)
class Run:
    """`count` neighbouring pieces of equal `size`, the first of which begins at `start`."""

    start: int
    count: int
    size: int

    @property
    def stop(self) -> int:
        return self.start + self.count * self.size


def even_runs(extent: int, limit: int) -> tuple[Run, ...]:
    """[0, extent) in the fewest pieces of at most `limit`; sizes differ by at most one, larger pieces first."""
    if extent == 0:
        return ()
    pieces = -(-extent // limit)
    size = -(-extent // pieces)
    smaller = pieces * size - extent
    runs = (Run(0, pieces - smaller, size), Run((pieces - smaller) * size, smaller, size - 1))
    return tuple(run for run in runs if run.count)


def piece_count(runs: Sequence[Run]) -> int:
    return sum(run.count for run in runs)


def on_piece(index: Expr, runs: Sequence[Run], emit: Callable[[Expr, int], None]) -> None:
    """Emit ``emit(start, size)`` for piece number `index` of `runs`: one copy of the code per run."""
    run, rest = runs[0], runs[1:]
    start = run.start + index * run.size if run.count > 1 else run.start
    if not rest:
        emit(start, run.size)
        return
    with T.If(index < run.count):
        with T.Then():
            emit(start, run.size)
        with T.Else():
            on_piece(index - run.count, rest, emit)


def each_piece(runs: Sequence[Run], emit: Callable[[Expr, int], None]) -> None:
    """Emit a loop over the pieces of each run in turn."""
    for run in runs:
        if run.count == 1:
            emit(run.start, run.size)
        else:
            with T.serial(0, run.count) as i:
                emit(run.start + i * run.size, run.size)


@dataclass(frozen=True)
class TileShape:
    """Largest tile: `vectors` by `rows` x `columns` pixels."""

    vectors: int
    rows: int
    columns: int


def choose_tile(vectors: int, rows: int, columns: int, isa: Isa, registers_per_vector: int = 1) -> TileShape:
    """The best of `rank_tiles`."""
    return rank_tiles(vectors, rows, columns, isa, registers_per_vector)[0]


def rank_tiles(
    vectors: int, rows: int, columns: int, isa: Isa, registers_per_vector: int = 1, weight_loads: int = 2
) -> list[TileShape]:
    """The tile shapes for `vectors` by `rows` x `columns`, those with the fewest estimated cycles per step first.

    A step takes as long as its arithmetic, its loads (a weight counts as `weight_loads`: it comes from L2, or from
    beyond) or the latency of the multiply-adds, two of each per cycle; every further copy of the code, for tiles of
    another size, costs a percent. Every load also costs a tenth of a cycle by itself, as none is ever quite hidden.
    """
    limits = min(vectors, 9), min(rows, isa.registers), min(columns, isa.registers)
    shapes = [
        TileShape(v, r, c)
        for v, r, c in product(*(range(1, limit + 1) for limit in limits))
        if registers_needed(v, r * c, registers_per_vector, isa) <= isa.registers
    ]

    def cost(shape: TileShape) -> float:
        runs = [even_runs(*pair) for pair in ((vectors, shape.vectors), (rows, shape.rows), (columns, shape.columns))]
        total = 0.0
        for v, r, c in product(*runs):
            weights, pixels = v.size * registers_per_vector, r.size * c.size
            arithmetic = weights * pixels
            loads = weight_loads * weights + pixels
            cycles = max(arithmetic, loads, FMA_IN_FLIGHT) / 2 + 0.1 * loads
            total += v.count * r.count * c.count * cycles
        return total * (1 + 0.01 * math.prod(len(r) for r in runs))

    return sorted(shapes, key=cost) or [TileShape(1, 1, 1)]  # blocks of very many registers spill in any tile


def registers_needed(vectors: int, pixels: int, registers_per_vector: int, isa: Isa) -> int:
    """Registers of a tile: accumulators, weights, and inputs.

    On NEON an input is one lane of a register, and LLVM loads two registers ahead of their use; with none to spare it
    moves or stores accumulators in the loop. Elsewhere one broadcast is enough.
    """
    inputs = pixels + 2 if isa.triple.startswith("aarch64") else 1
    return (vectors * pixels + vectors) * registers_per_vector + inputs


def divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` that is at most `limit`, at least 1."""
    return max(d for d in range(1, number + 1) if number % d == 0 and d <= max(1, limit))
