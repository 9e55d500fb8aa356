"""Convolution of blocked maps by register tiles; depthwise and narrow groups are in hetpart.kernels.cpu.depthwise.

A tile is a few output channel blocks by a few pixels. The reduction runs over input channel blocks, kernel rows and
kernel columns; the lanes of an input block are unrolled. A work item is one channel tile in one band of tile rows.

Two loop orders. Where the weights fit into the L2 cache, bands are the outer loop and the input is read once. Where
they do not, channel tiles are the outer loop, and the reduction is cut into chunks whose weights stay in the L1 cache
while they are applied to all pixels of the item; between chunks the partial sums lie in the output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked, Plain
from hetpart.kernels.cpu import depthwise
from hetpart.kernels.cpu.emit import Buffer, Expr, check_blocked_operands, decode, range_kernel, zero_halo
from hetpart.kernels.cpu.packing import pack_bias, pack_tiles
from hetpart.kernels.cpu.steps import render
from hetpart.kernels.cpu.tiles import Run, choose_tile, each_piece, even_runs, on_piece, piece_count
from hetpart.kernels.cpu.vectors import Accumulators, operand_vector, vector, zeros
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import ConvSpec

RESIDENT_WEIGHTS_BYTES = 256 << 10
"""Weights up to this size are re-read from L2 for every band: half of the 512 KiB of a Cortex-A76."""

CHUNK_WEIGHTS_BYTES = 32 << 10
"""Weights of one channel tile that stay in L1 while they are applied to all pixels of an item."""

BAND_INPUT_BYTES = 16 << 10
"""Input of one band that is worth keeping in L1 while the channel tiles pass over it."""

ITEMS = 16
"""Big layers have at least so many work items, for four cores to share."""

UNROLL = 112
"""Multiply-adds in the unrolled body of the innermost loop, about."""


def extent(spec: ConvSpec, isa: Isa) -> int:
    """Images x channel tiles x bands of rows."""
    if depthwise.suits(spec):
        return depthwise.extent(spec, isa)
    plan = _Plan.of(spec, isa)
    return spec.x.n * spec.group * piece_count(plan.channel_tiles) * plan.bands


def pack(spec: ConvSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Weights, flat: per group and channel tile (reduction steps, vectors of the tile, lanes); then the bias.

    The steps run over full input blocks (block, kernel row, kernel column, lane) and then over the remaining channels
    in the same order. Spare output channels are zero.
    """
    if depthwise.suits(spec):
        return depthwise.pack(spec, isa, constants)
    plan = _Plan.of(spec, isa)
    w = np.asarray(constants["w"], np.float32)
    w = w.reshape(spec.group, spec.out.c // spec.group, plan.reduction.channels, *spec.kernel)
    groups = [pack_tiles(steps, plan.channel_tiles, spec.out.block) for steps in plan.reduction.order(w)]
    return (np.concatenate(groups), *pack_bias(constants, spec.out.blocks * spec.out.block))


def prim_func(spec: ConvSpec, isa: Isa, symbol: str) -> Any:
    """``(x, operands..., w[, b], out, lo, hi)``."""
    check(spec)
    if depthwise.suits(spec):
        return depthwise.prim_func(spec, isa, symbol)
    return _Emitter(spec, isa).prim_func(symbol)


def check(spec: ConvSpec) -> None:
    """Raise InternalError where the layouts break the contract of a convolution."""
    x, out = spec.x, spec.out
    check_blocked_operands(out, spec.operands)
    if x.n != out.n or x.c % spec.group or out.c % spec.group:
        raise InternalError("kernel-layout", f"a convolution in {spec.group} groups cannot go from {x} to {out}")
    reach = [
        (size - 1) * stride + (taps - 1) * dilation + 1 - pad
        for size, stride, taps, dilation, pad in zip(
            (out.h, out.w), spec.strides, spec.kernel, spec.dilations, spec.pads[:2], strict=True
        )
    ]
    if (
        x.halo.top < spec.pads[0]
        or x.halo.left < spec.pads[1]
        or x.h + x.halo.bottom < reach[0]
        or x.w + x.halo.right < reach[1]
    ):
        raise InternalError("kernel-halo", f"windows of {spec} reach beyond the halo of the input")


@dataclass(frozen=True)
class _Reduction:
    """The sum of one group: `full` input blocks of `block` channels and a `tail` of further channels, times the taps.

    Where groups do not start on a block boundary, `block` is 1 and each channel is located on its own.
    """

    channels: int
    block: int
    taps: int

    @property
    def full(self) -> int:
        return self.channels // self.block

    @property
    def tail(self) -> int:
        return self.channels % self.block

    @property
    def steps(self) -> int:
        return self.channels * self.taps

    def order(self, w: np.ndarray) -> np.ndarray:
        """(groups, outputs, channels, kh, kw) as (groups, steps, outputs)."""
        w = w.transpose(0, 2, 3, 4, 1)
        groups, split = len(w), self.full * self.block
        full = w[:, :split].reshape(groups, self.full, self.block, self.taps, -1).swapaxes(2, 3)
        tail = w[:, split:].reshape(groups, self.tail, self.taps, w.shape[-1]).swapaxes(1, 2)
        flat = (groups, -1, w.shape[-1])
        return np.concatenate([full.reshape(flat), tail.reshape(flat)], axis=1)


@dataclass(frozen=True)
class _Plan:
    """Tiles and loop order of one convolution.

    Attributes:
        reduction: the sum behind one output.
        blocks: output channel blocks of one group.
        channel_tiles: these blocks in tiles.
        rows: output rows in tiles.
        columns: output columns in tiles.
        band: tile rows of one work item.
        channels_outer: whether channel tiles are the outer loop.
        chunk: input blocks per pass over the pixels.
    """

    reduction: _Reduction
    blocks: int
    channel_tiles: tuple[Run, ...]
    rows: tuple[Run, ...]
    columns: tuple[Run, ...]
    band: int
    channels_outer: bool
    chunk: int

    @property
    def bands(self) -> int:
        return -(-piece_count(self.rows) // self.band)

    @property
    def chunks(self) -> int:
        return max(1, -(-self.reduction.full // self.chunk))

    @staticmethod
    def of(spec: ConvSpec, isa: Isa) -> _Plan:
        spec = flattened(spec)
        x, out = spec.x, spec.out
        channels, taps = x.c // spec.group, math.prod(spec.kernel)
        reduction = _Reduction(channels, 1 if spec.group > 1 and channels % x.block else x.block, taps)
        blocks = out.blocks if spec.group == 1 else out.c // spec.group // out.block
        shape = choose_tile(blocks, out.h, out.w, -(-out.block // isa.lanes), isa)
        channel_tiles = even_runs(blocks, shape.vectors)
        rows, columns = even_runs(out.h, shape.rows), even_runs(out.w, shape.columns)
        tile_rows = piece_count(rows)
        channels_outer = reduction.steps * blocks * out.block * 4 > RESIDENT_WEIGHTS_BYTES
        tiles = x.n * spec.group * piece_count(channel_tiles)
        if channels_outer:
            bands = min(tile_rows, -(-ITEMS // tiles))
            band = -(-tile_rows // bands)
            step_bytes = reduction.block * taps * shape.vectors * out.block * 4
            reuse = band * piece_count(columns)
            chunk = max(1, CHUNK_WEIGHTS_BYTES // step_bytes) if reuse >= 8 else max(1, reduction.full)
        else:
            row_bytes = shape.rows * spec.strides[0] * x.w * x.c * 4
            band = max(1, min(BAND_INPUT_BYTES // row_bytes, tile_rows * tiles // ITEMS, tile_rows))
            chunk = max(1, reduction.full)
        return _Plan(reduction, blocks, channel_tiles, rows, columns, band, channels_outer, chunk)


def flattened(spec: ConvSpec) -> ConvSpec:
    """A 1x1 convolution without any halo as one with a single column, so that tiles need not end with image rows."""
    maps = (spec.x, spec.out, *spec.operands)
    if spec.kernel != (1, 1) or spec.strides != (1, 1) or any(spec.pads) or any(m.halo for m in maps):
        return spec
    if any(m.h * m.w not in (1, spec.out.h * spec.out.w) for m in spec.operands):
        return spec
    x, out, *operands = (replace(m, h=m.h * m.w, w=1) for m in maps)
    return replace(spec, x=x, out=out, operands=tuple(operands))


@dataclass
class _Buffers:
    x: Buffer
    operands: Sequence[Buffer]
    w: Buffer
    b: Buffer | None
    out: Buffer


class _Emitter:
    """Emits one kernel; the buffers of the function are in `at` while its body is built."""

    at: _Buffers

    def __init__(self, spec: ConvSpec, isa: Isa) -> None:
        self.declared = spec
        self.spec = flattened(spec)
        self.plan = _Plan.of(spec, isa)
        self.lanes = spec.out.block

    def prim_func(self, symbol: str) -> Any:
        spec = self.declared
        size = spec.group * self.plan.reduction.steps * self.plan.blocks * self.lanes
        constants = [Plain((size,))]
        if spec.bias:
            constants.append(Plain((spec.out.blocks * self.lanes,)))
        return range_kernel(symbol, (spec.x, *spec.operands, *constants, spec.out), self._body)

    def _body(self, item: Expr, *buffers: Buffer) -> None:
        spec, plan = self.spec, self.plan
        count = 1 + len(spec.operands)
        maps = [_view(b, m) for b, m in zip((*buffers[:count], buffers[-1]), (spec.x, *spec.operands, spec.out), strict=True)]
        self.at = _Buffers(
            maps[0], maps[1:-1], buffers[count], buffers[count + 1] if spec.bias else None, maps[-1]
        )
        tiles = piece_count(plan.channel_tiles)
        if plan.channels_outer:
            image, group, tile, band = decode(item, (spec.x.n, spec.group, tiles, plan.bands))
        else:
            image, band, group, tile = decode(item, (spec.x.n, plan.bands, spec.group, tiles))
        on_piece(tile, plan.channel_tiles, lambda first, size: self._item(image, group, band, first, size))

    def _item(self, image: Expr, group: Expr, band: Expr, first: Expr, vectors: int) -> None:
        """One band of rows of `vectors` channel blocks, from block `first` of the group on."""
        plan = self.plan
        tile_rows = piece_count(plan.rows)
        from_row, to_row = band * plan.band, T.min(band * plan.band + plan.band, tile_rows)
        with T.serial(0, plan.chunks) as chunk:
            with T.serial(from_row, to_row) as tile_row:
                on_piece(
                    tile_row,
                    plan.rows,
                    lambda y, rows: each_piece(
                        plan.columns,
                        lambda x, columns: self._tile(image, group, chunk, first, vectors, (y, rows), (x, columns)),
                    ),
                )
        if self.spec.out.halo:
            with T.serial(from_row, to_row) as tile_row:
                on_piece(tile_row, plan.rows, lambda y, rows: self._zero_halo(image, group, first, vectors, y, rows))

    def _zero_halo(self, image: Expr, group: Expr, first: Expr, vectors: int, y: Expr, rows: int) -> None:
        with T.serial(0, vectors) as v, T.serial(0, rows) as row:
            zero_halo(self.at.out, self.spec.out, image, group * self.plan.blocks + first + v, y + row)

    def _tile(
        self,
        image: Expr,
        group: Expr,
        chunk: Expr,
        first: Expr,
        vectors: int,
        rows: tuple[Expr, int],
        columns: tuple[Expr, int],
    ) -> None:
        """`vectors` blocks by `rows` x `columns` pixels (first and count of each) in one chunk of the reduction."""
        spec, plan, lanes = self.spec, self.plan, self.lanes
        halo = spec.out.halo
        pixels = [(rows[0] + dy, columns[0] + dx) for dy in range(rows[1]) for dx in range(columns[1])]
        acc = Accumulators(vectors, len(pixels), lanes)
        block = T.Bind(group * plan.blocks + first) if spec.group > 1 else first

        def element(v: int, p: int) -> list[Expr]:
            y, x = pixels[p]
            return [image, block + v, halo.top + y, halo.left + x, vector(lanes)]

        def start(v: int, p: int) -> Expr:
            return zeros(lanes) if self.at.b is None else self.at.b[vector(lanes, (block + v) * lanes)]

        def finished(v: int, p: int) -> Expr:
            y, x = pixels[p]
            return render(
                spec.steps,
                acc.get(v, p),
                lambda i: operand_vector(self.at.operands[i], spec.operands[i], image, block + v, y, x, lanes),
            )

        def each(body: Callable[[int, int], None]) -> Callable[[], None]:
            return lambda: [body(v, p) for v in range(vectors) for p in range(len(pixels))] and None

        def store(value: Callable[[int, int], Expr]) -> Callable[[], None]:
            return each(lambda v, p: T.buffer_store(self.at.out, value(v, p), element(v, p)))

        _choose(
            plan.chunks,
            chunk,
            0,
            each(lambda v, p: acc.set(v, p, start(v, p))),
            each(lambda v, p: acc.set(v, p, self.at.out[tuple(element(v, p))])),
        )
        self._reduce(acc, image, group, chunk, first, pixels)
        _choose(plan.chunks, chunk, plan.chunks - 1, store(finished), store(acc.get))

    def _reduce(
        self, acc: Accumulators, image: Expr, group: Expr, chunk: Expr, first: Expr, pixels: Sequence[tuple[Expr, Expr]]
    ) -> None:
        """Add the products of one chunk to `acc`."""
        spec, sums, lanes = self.spec, self.plan.reduction, self.lanes
        kernel_rows, kernel_columns = spec.kernel
        base = T.Bind((group * self.plan.blocks + first) * (sums.steps * lanes))

        def multiply_add(block: Expr, lane: Expr, step: Expr, kh: Expr, kw: Expr) -> None:
            inputs = [
                self.at.x[
                    image,
                    block,
                    spec.x.halo.top - spec.pads[0] + y * spec.strides[0] + kh * spec.dilations[0],
                    spec.x.halo.left - spec.pads[1] + x * spec.strides[1] + kw * spec.dilations[1],
                    lane,
                ]
                for y, x in pixels
            ]
            weights = [
                self.at.w[vector(lanes, base + (step * acc.vectors + v) * lanes)] for v in range(acc.vectors)
            ]
            acc.rank_one(weights, inputs)

        def over_taps(body: Callable[[Expr, Expr, Expr], None]) -> None:
            """Emit ``body(tap, kh, kw)`` in loops over the kernel."""
            with T.serial(0, kernel_rows) as kh, T.serial(0, kernel_columns) as kw:
                body(kh * kernel_columns + kw, kh, kw)

        def full_block(b: Expr) -> None:
            unroll = _divisor(sums.block, UNROLL // (acc.vectors * acc.pixels))

            def taps(tap: Expr, kh: Expr, kw: Expr) -> None:
                with T.serial(0, sums.block // unroll) as outer:
                    for inner in range(unroll):
                        lane = outer * unroll + inner
                        step = (b * sums.taps + tap) * sums.block + lane
                        if spec.group == 1:
                            multiply_add(b, lane, step, kh, kw)
                        else:
                            channel = (group * sums.full + b) * sums.block + lane
                            multiply_add(channel // spec.x.block, channel % spec.x.block, step, kh, kw)

            over_taps(taps)

        def tail(tap: Expr, kh: Expr, kw: Expr) -> None:
            for lane in range(sums.tail):
                step = sums.full * sums.taps * sums.block + tap * sums.tail + lane
                multiply_add(sums.full, lane, step, kh, kw)

        if sums.full:
            size = self.plan.chunk
            with T.serial(chunk * size, T.min(chunk * size + size, sums.full)) as b:
                full_block(b)
        if sums.tail:
            _choose(self.plan.chunks, chunk, self.plan.chunks - 1, lambda: over_taps(tail), lambda: None)


def _choose(count: int, index: Expr, wanted: int, then: Callable[[], None], otherwise: Callable[[], None]) -> None:
    """Emit `then` where ``index == wanted`` and `otherwise` elsewhere; no test if `index` has only one value."""
    if count == 1:
        then()
        return
    with T.If(T.EQ(index, wanted)):
        with T.Then():
            then()
        with T.Else():
            otherwise()


def _view(buffer: Buffer, layout: Blocked) -> Buffer:
    return T.decl_buffer(layout.physical_shape, "float32", data=buffer.data, layout=None)


def _divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` that is at most `limit`, at least 1."""
    return max(d for d in range(1, number + 1) if number % d == 0 and d <= max(1, limit))
