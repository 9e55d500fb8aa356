"""Channels of maps in another order: each vector of the output is a shuffle of the vectors that hold its channels.

A work item is one image row of one channel block of the output.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.graph.layout import Blocked
from hetpart.kernels.channels import Pattern, Run, check, runs
from hetpart.kernels.cpu.emit import Buffer, Expr, locate_row, range_kernel, row_extent, storage_dtype, zero_halo
from hetpart.kernels.cpu.vectors import splat, vector
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import ChannelsSpec


def extent(spec: ChannelsSpec, isa: Isa) -> int:
    """Image rows of all blocks of the output."""
    return row_extent(spec.out)


def pack(spec: ChannelsSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Which channel goes where is in the code."""
    return ()


def prim_func(spec: ChannelsSpec, isa: Isa, symbol: str) -> Any:
    """``(x0, x1, ..., out, lo, hi)``, any dtype."""
    check(spec)

    def body(item: Expr, *buffers: Buffer) -> None:
        image, block, y = locate_row(item, spec.out)
        stored = [_stored(buffer, form) for buffer, form in zip(buffers, (*spec.xs, spec.out), strict=True)]
        row = _Row(spec, stored, image, block, y)
        zero_halo(buffers[-1], spec.out, image, block, y)
        found = runs(spec)
        for run in found:
            if len(found) == 1:
                row.run(run)
            else:
                inside = T.And(row.block >= run.first, row.block < run.first + run.count)
                with T.If(inside), T.Then():
                    row.run(run)

    return range_kernel(symbol, (*spec.xs, spec.out), body)


def _stored(buffer: Buffer, form: Blocked) -> Buffer:
    """`buffer` with integer elements of the same width: nothing is computed."""
    return T.decl_buffer(form.physical_shape, storage_dtype(form.dtype), data=buffer.data, layout=None)


def _fill(form: Blocked) -> Expr:
    """The map's fill as it is stored."""
    stored = storage_dtype(form.dtype)
    return tirx.const(int(np.array(form.fill, form.dtype).view(stored)), stored)


class _Row:
    """Emits one row of one block of the output."""

    def __init__(self, spec: ChannelsSpec, buffers: list[Buffer], image: Expr, block: Expr, y: Expr) -> None:
        self.spec = spec
        self.xs, self.out = buffers[:-1], buffers[-1]
        self.image, self.block, self.y = image, block, y

    def run(self, run: Run) -> None:
        period = len(run.patterns)
        number = T.Bind(self.block - run.first) if run.count > 1 else 0
        shift = T.Bind(number // period * run.advance) if run.count > 1 else 0
        for index, pattern in enumerate(run.patterns):
            if period == 1:
                self.pattern(pattern, shift)
            else:
                with T.If(T.EQ(number % period, index)), T.Then():
                    self.pattern(pattern, shift)

    def pattern(self, pattern: Pattern, shift: Expr) -> None:
        """A row of vectors by `pattern`, whose sources are `shift` blocks further on."""
        out = self.spec.out
        sources = list(dict.fromkeys(lane[:2] for lane in pattern if lane is not None))
        starts, start = {}, 0
        for source in sources:
            starts[source] = start
            start += self.spec.xs[source[0]].block
        lanes = [start if lane is None else starts[lane[:2]] + lane[2] for lane in pattern]
        with T.serial(0, out.w) as column:
            vectors = [self._vector(number, block + shift, column) for number, block in sources]
            if None in pattern:
                vectors.append(splat(_fill(out), out.block))
            if len(vectors) == 1 and lanes == list(range(self.spec.xs[sources[0][0]].block)):
                value = vectors[0]
            else:
                value = tirx.Shuffle(vectors, lanes)
            top, left = out.halo.top, out.halo.left
            T.buffer_store(self.out, value, [self.image, self.block, top + self.y, left + column, vector(out.block)])

    def _vector(self, number: int, block: Expr, column: Expr) -> Expr:
        form = self.spec.xs[number]
        place = (self.image, block, form.halo.top + self.y, form.halo.left + column, vector(form.block))
        return T.Bind(self.xs[number][place])
