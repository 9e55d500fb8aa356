"""Convolution of blocked maps by register tiles; depthwise and narrow groups are in hetpart.kernels.cpu.depthwise,
most 3x3 convolutions in hetpart.kernels.cpu.winograd.

A tile is a few output channel blocks by a few pixels. The reduction runs over input channel blocks, kernel rows and
kernel columns; the lanes of an input block are unrolled. A work item is one channel tile in one band of tile rows, in
the order and with the tiles that hetpart.kernels.cpu.conv_plan decides on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.graph.layout import Plain
from hetpart.kernels.cpu import conv_choice, depthwise, winograd
from hetpart.kernels.cpu.conv_frame import Band, Tile, check_windows, over_taps
from hetpart.kernels.cpu.conv_plan import ConvPlan, flattened
from hetpart.kernels.cpu.emit import (
    LINE_BYTES,
    Buffer,
    Expr,
    check_blocked_operands,
    prefetch,
    range_kernel,
    starts_line,
    view,
)
from hetpart.kernels.cpu.packing import pack_bias, pack_tiles
from hetpart.kernels.cpu.steps import finish, is_long
from hetpart.kernels.cpu.tiles import divisor, each_piece, piece_count
from hetpart.kernels.cpu.vectors import Accumulators, cast, operand_vector, vector, zeros
from hetpart.kernels.cpu.winograd_plan import WinogradPlan
from hetpart.kernels.half import as_stored
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import ConvSpec

Pixel = tuple[Expr, Expr]
"""(y, x)."""

UNROLL = 112
"""Multiply-adds in the unrolled body of the innermost loop, about."""


def extent(spec: ConvSpec, isa: Isa) -> int:
    """Images x channel tiles x bands of rows."""
    if depthwise.suits(spec):
        return depthwise.extent(spec, isa)
    plan = conv_choice.plan(spec, isa)
    if isinstance(plan, WinogradPlan):
        return winograd.extent(spec, plan)
    return plan.frame(spec).extent


def pack(spec: ConvSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Weights, flat: per group and channel tile (reduction steps, vectors of the tile, lanes); then the bias.

    The steps run over full input blocks (block, kernel row, kernel column, lane) and then over the remaining channels
    in the same order. Spare output channels are zero.
    """
    if depthwise.suits(spec):
        return depthwise.pack(spec, isa, constants)
    plan = conv_choice.plan(spec, isa)
    if isinstance(plan, WinogradPlan):
        return winograd.pack(spec, plan, constants)
    w = np.asarray(constants["w"], np.float32)
    w = w.reshape(spec.group, spec.out.c // spec.group, plan.reduction.channels, *spec.kernel)
    groups = [pack_tiles(steps, plan.channel_tiles, spec.out.block) for steps in plan.reduction.order(w)]
    weights = as_stored(np.concatenate(groups), spec.x.dtype)
    return (weights, *pack_bias(constants, spec.out.blocks * spec.out.block, spec.x.dtype))


def prim_func(spec: ConvSpec, isa: Isa, symbol: str) -> Any:
    """``(x, operands..., w[, b], out, lo, hi)``."""
    check(spec)
    if depthwise.suits(spec):
        return depthwise.prim_func(spec, isa, symbol)
    plan = conv_choice.plan(spec, isa)
    if isinstance(plan, WinogradPlan):
        return winograd.prim_func(spec, plan, symbol)
    constants = [Plain((spec.group * plan.reduction.steps * plan.blocks * spec.out.block,), spec.x.dtype)]
    if spec.bias:
        constants.append(Plain((spec.out.blocks * spec.out.block,), spec.x.dtype))
    flat = flattened(spec)

    def body(item: Expr, *buffers: Buffer) -> None:
        x, *operands = [view(b, m) for b, m in zip(buffers, (flat.x, *flat.operands), strict=False)]
        w, *bias = buffers[1 + len(operands) : -1]
        out = view(buffers[-1], flat.out)
        _Kernel(flat, plan, isa, x, operands, w, bias[0] if bias else None, out).item(item)

    return range_kernel(symbol, (spec.x, *spec.operands, *constants, spec.out), body, unrolled=True)


def check(spec: ConvSpec) -> None:
    """Raise InternalError where the layouts break the contract of a convolution."""
    x, out = spec.x, spec.out
    check_blocked_operands(out, spec.operands)
    if x.n != out.n or x.c % spec.group or out.c % spec.group or x.dtype != out.dtype:
        raise InternalError("kernel-layout", f"a convolution in {spec.group} groups cannot go from {x} to {out}")
    check_windows(spec, spec.kernel)


@dataclass
class _Kernel:
    """A convolution with its buffers, inside the function under construction."""

    spec: ConvSpec
    plan: ConvPlan
    isa: Isa
    x: Buffer
    operands: Sequence[Buffer]
    w: Buffer
    b: Buffer | None
    out: Buffer

    def item(self, item: Expr) -> None:
        """Work item number `item`."""
        self.plan.frame(self.spec).item(item, self._band)

    def _band(self, band: Band) -> None:
        plan = self.plan

        def tile_row(chunk: Expr, number: Expr, y: Expr, rows: int) -> None:
            def tile(x: Expr, columns: int) -> None:
                turn = number * piece_count(plan.columns) + x // plan.columns[0].size
                _Tile(band, (y, rows), (x, columns), self, turn).emit(chunk)

            each_piece(plan.columns, tile)

        with T.serial(0, plan.chunks) as chunk:
            band.each_row(lambda number, y, rows: tile_row(chunk, number, y, rows))
        if self.spec.out.halo:
            band.each_row(lambda _, y, rows: band.zero_halo(self.out, y, rows))


@dataclass
class _Tile(Tile):
    """Emits the code of one tile of `kernel`; `turn` is its number among the tiles of its band."""

    kernel: _Kernel
    turn: Expr

    def emit(self, chunk: Expr) -> None:
        """One chunk of the reduction."""
        plan = self.kernel.plan
        if plan.runs_per_chunk == 1 or plan.runs == 1:
            self._run(chunk)
            return
        first = chunk * plan.runs_per_chunk
        with T.serial(first, T.min(first + plan.runs_per_chunk, plan.runs)) as run:
            self._run(run)

    def _run(self, run: Expr) -> None:
        """One run of the reduction; the sum of earlier runs comes from the output."""
        plan, lanes = self.kernel.plan, self.kernel.spec.out.block
        apart = self.kernel.spec.x.dtype == "float16"  # only then is the error of a run its own
        acc = Accumulators([lanes] * self.band.vectors, len(self.pixels), plan.element)
        block = T.Bind(self.band.block)

        def stored(v: int, p: int) -> Expr:
            return cast(self.kernel.out[self._place(block + v, self.pixels[p])], plan.element)

        _either(
            plan.runs,
            T.EQ(run, 0),
            lambda: acc.fill([self._bias(block + v) for v in range(self.band.vectors)]),
            lambda: (
                acc.fill([zeros(lanes, plan.element)] * self.band.vectors)
                if apart
                else self._each(lambda v, p: acc.set(v, p, stored(v, p)))
            ),
        )
        self._reduce(acc, run)
        if apart and plan.runs > 1:
            with T.If(run > 0), T.Then():
                self._each(lambda v, p: acc.set(v, p, acc.get(v, p) + stored(v, p)))
        _either(
            plan.runs,
            T.EQ(run, plan.runs - 1),
            lambda: self._end(acc, block),
            lambda: self._each(lambda v, p: self._store(block + v, self.pixels[p], acc.get(v, p))),
        )

    def _end(self, acc: Accumulators, block: Expr) -> None:
        """Epilogue and output: from the registers, or if the epilogue is long, in a loop over the stored sums."""
        pixels, rows, columns = self.pixels, self.rows, self.columns

        def store(v: Expr, pixel: Pixel, total: Expr) -> None:
            self._store(block + v, pixel, self._finish(total, block + v, pixel))

        if not is_long(self.kernel.spec.steps):
            self._each(lambda v, p: store(v, pixels[p], acc.get(v, p)))
            return
        self._each(lambda v, p: self._store(block + v, self.pixels[p], acc.get(v, p)))
        with T.serial(0, self.band.vectors) as v, T.serial(0, rows[1]) as dy, T.serial(0, columns[1]) as dx:
            pixel = rows[0] + dy, columns[0] + dx
            store(v, pixel, self.kernel.out[self._place(block + v, pixel)])

    def _each(self, body: Callable[[int, int], None]) -> None:
        for v in range(self.band.vectors):
            for p in range(len(self.pixels)):
                body(v, p)

    def _place(self, block: Expr, pixel: Pixel) -> tuple[Expr, ...]:
        """Indices of an output vector."""
        out = self.kernel.spec.out
        y, x = pixel
        return self.band.image, block, out.halo.top + y, out.halo.left + x, vector(out.block)

    def _store(self, block: Expr, pixel: Pixel, value: Expr) -> None:
        T.buffer_store(self.kernel.out, cast(value, self.kernel.spec.out.dtype), list(self._place(block, pixel)))

    def _bias(self, block: Expr) -> Expr:
        lanes = self.kernel.spec.out.block
        if self.kernel.b is None:
            return zeros(lanes, self.kernel.plan.element)
        return self.kernel.b[vector(lanes, block * lanes)]

    def _finish(self, total: Expr, block: Expr, pixel: Pixel) -> Expr:
        """The epilogue."""
        spec, buffers = self.kernel.spec, self.kernel.operands
        y, x = pixel
        return finish(
            spec.steps,
            total,
            lambda i: operand_vector(buffers[i], spec.operands[i], self.band.image, block, y, x, spec.out.block),
            spec.out.dtype,
            self.kernel.isa if spec.out.dtype == "float16" else None,
        )

    def _reduce(self, acc: Accumulators, run: Expr) -> None:
        """Add the products of one run."""
        plan, spec = self.kernel.plan, self.kernel.spec
        sums = plan.reduction
        unroll = divisor(sums.block, UNROLL // (self.band.vectors * len(self.pixels)))

        def block_tap(b: Expr, tap: Expr, kh: Expr, kw: Expr) -> None:
            with T.serial(0, sums.block // unroll) as outer:
                if plan.prefetches_next:
                    bodies = sums.block // unroll
                    number = ((b - run * plan.run) * sums.taps + tap) * bodies + outer
                    self._prefetch_next(run, number, plan.run * sums.taps * bodies)
                whole = self._lanes(b, kh, kw, unroll) if spec.group == 1 and unroll == spec.x.block else None
                for inner in range(unroll):
                    lane = outer * unroll + inner
                    step = (b * sums.taps + tap) * sums.block + lane
                    if whole:
                        inputs = whole[inner]
                    elif spec.group == 1:
                        inputs = self._inputs(b, lane, kh, kw)
                    else:
                        channel = (self.band.part * sums.full + b) * sums.block + lane
                        inputs = self._inputs(channel // spec.x.block, channel % spec.x.block, kh, kw)
                    self._multiply_add(acc, inputs, step, inner)

        def tail_tap(tap: Expr, kh: Expr, kw: Expr) -> None:
            for lane, inputs in enumerate(self._lanes(sums.full, kh, kw, sums.tail)):
                step = sums.full * sums.taps * sums.block + tap * sums.tail + lane
                self._multiply_add(acc, inputs, step, lane)

        if sums.full:
            size = plan.run
            with T.serial(run * size, T.min(run * size + size, sums.full)) as b:
                over_taps(spec.kernel, lambda *tap: block_tap(b, *tap))
        if sums.tail:
            last = T.EQ(run, plan.runs - 1)
            _either(plan.runs, last, lambda: over_taps(spec.kernel, tail_tap), lambda: None)

    @property
    def _weights_start(self) -> Expr:
        """Where the tile's weights begin, in vectors."""
        return self.band.block * self.kernel.plan.reduction.steps

    def _prefetch_next(self, run: Expr, number: Expr, count: int) -> None:
        """Ask for part of the tile's share of the next run's weights in unrolled body `number` of `count`."""
        spec, plan = self.kernel.spec, self.kernel.plan
        line = LINE_BYTES // np.dtype(spec.x.dtype).itemsize
        size = self.band.vectors * spec.out.block
        steps = plan.run * plan.reduction.taps * plan.reduction.block
        share = -(-steps * size // (line * plan.turns))
        each = -(-share // count)
        start = self._weights_start * spec.out.block + T.min((run + 1) * steps, plan.reduction.steps) * size
        for i in range(each):
            prefetch(self.kernel.w, start + (self.turn * share + number * each + i) * line, into_l2=True)

    def _inputs(self, block: Expr, lane: Expr, kh: Expr, kw: Expr) -> list[Expr]:
        """Element or vector `lane` of input `block` under tap (kh, kw), for each pixel."""
        spec = self.kernel.spec
        top = spec.x.halo.top - spec.pads[0] + kh * spec.dilations[0]
        left = spec.x.halo.left - spec.pads[1] + kw * spec.dilations[1]
        return [
            self.kernel.x[self.band.image, block, top + y * spec.strides[0], left + x * spec.strides[1], lane]
            for y, x in self.pixels
        ]

    def _lanes(self, block: Expr, kh: Expr, kw: Expr, count: int) -> list[list[Expr]]:
        """The inputs under tap (kh, kw) for each of the first `count` channels of a block.

        On NEON they are lanes of one load. LLVM would load channels in pairs, or one into all lanes of a register,
        which takes a slot of the arithmetic.
        """
        if not self.kernel.isa.triple.startswith("aarch64"):
            return [self._inputs(block, lane, kh, kw) for lane in range(count)]
        stored = [T.Bind(value) for value in self._inputs(block, vector(self.kernel.spec.x.block), kh, kw)]
        return [[tirx.Shuffle([value], [lane]) for value in stored] for lane in range(count)]

    def _multiply_add(self, acc: Accumulators, inputs: Sequence[Expr], step: Expr, number: int) -> None:
        """Step `step` of the reduction, which is step `number` of its loop body."""
        lanes, plan, vectors = self.kernel.spec.out.block, self.kernel.plan, self.band.vectors
        at = self._weights_start + step * vectors
        for v in range(vectors if plan.choice.prefetch and not plan.prefetches_next else 0):
            if starts_line(number * vectors + v, lanes, self.kernel.spec.x.dtype):
                prefetch(self.kernel.w, (at + plan.choice.prefetch * vectors + v) * lanes)
        acc.rank_one([self.kernel.w[vector(lanes, (at + v) * lanes)] for v in range(vectors)], inputs)


def _either(cases: int, condition: Expr, then: Callable[[], None], otherwise: Callable[[], None]) -> None:
    """Emit a branch; only `then` if there is one case."""
    if cases == 1:
        then()
        return
    with T.If(condition):
        with T.Then():
            then()
        with T.Else():
            otherwise()
