"""Convolution of quantised maps by register tiles of int32 sums; depthwise is in hetpart.kernels.cpu.qdepthwise.

As in hetpart.kernels.cpu.conv a tile is a few output channel blocks by a few pixels, but a step of the reduction takes
four neighbouring input channels at once (hetpart.kernels.cpu.dot). Groups that do not fill output blocks are computed
as dense products over all channels that a block depends on, with zero weights between the groups.

The zero point of the input is folded into the bias: sum (x - z) w = sum x w - z sum w, in the padding too, because
the halo holds z.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked, Plain
from hetpart.kernels.cpu import qdepthwise
from hetpart.kernels.cpu.dot import GROUP, activations, add_dot, offset
from hetpart.kernels.cpu.emit import Buffer, Expr, decode, range_kernel, zero_halo
from hetpart.kernels.cpu.requantise import finish
from hetpart.kernels.cpu.tiles import Run, choose_tile, each_piece, even_runs, on_piece, piece_count
from hetpart.kernels.cpu.vectors import Accumulators, dtype_of, splat, vector
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import QConvSpec

RESIDENT_WEIGHTS_BYTES = 256 << 10
"""Weights up to this size are re-read from L2 for every band: half of the 512 KiB of a Cortex-A76."""

BAND_INPUT_BYTES = 16 << 10
"""Input of one band that is worth keeping in L1 while the channel tiles pass over it."""

ITEMS = 16
"""Big layers have at least so many work items, for four cores to share."""

UNROLL = 112
"""Dot products in the unrolled body of the innermost loop, about."""


def extent(spec: QConvSpec, isa: Isa) -> int:
    """Images x parts x channel tiles x bands of rows."""
    if qdepthwise.suits(spec):
        return qdepthwise.extent(spec, isa)
    plan = _Plan.of(spec, isa)
    return spec.x.n * plan.parts * piece_count(plan.channel_tiles) * plan.bands


def pack(spec: QConvSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Weights, flat: per part and channel tile (reduction steps, vectors of the tile, lanes, 4); then `pack_sums`."""
    if qdepthwise.suits(spec):
        return qdepthwise.pack(spec, isa, constants)
    plan, lanes = _Plan.of(spec, isa), spec.out.block
    w = np.asarray(constants["w"])
    packed = []
    for part in range(plan.parts):
        steps = plan.ordered(plan.dense_weights(w, part))  # (steps, outputs, 4)
        for run in plan.channel_tiles:
            for first in range(run.start, run.stop, run.size):
                packed.append(steps[:, first * lanes : (first + run.size) * lanes].reshape(-1))
    return (np.concatenate(packed), *pack_sums(spec, isa, constants))


def pack_sums(spec: QConvSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """What the sums begin with (bias less zero point times sum of weights) and multipliers, padded to whole blocks."""
    size = spec.out.blocks * spec.out.block
    w = np.asarray(constants["w"]).astype(np.int64)
    zero_point = int(constants["zero_point"]) + offset(spec.x.dtype, spec.out.block, isa)
    start = np.asarray(constants["b"]).astype(np.int64) - zero_point * w.reshape(len(w), -1).sum(1)
    start = start.astype(np.uint64).astype(np.uint32).view(np.int32)  # modulo 2^32, like the sums
    scale = np.asarray(constants["scale"], np.float32)
    return tuple(np.pad(array, (0, size - len(array))) for array in (start, scale))


def prim_func(spec: QConvSpec, isa: Isa, symbol: str) -> Any:
    """``(x, w, b, scale, out, lo, hi)``."""
    check(spec)
    if qdepthwise.suits(spec):
        return qdepthwise.prim_func(spec, isa, symbol)
    plan, channels = _Plan.of(spec, isa), spec.out.blocks * spec.out.block
    weights = plan.parts * plan.steps * plan.blocks * spec.out.block * GROUP
    constants = (Plain((weights,), "int8"), Plain((channels,), "int32"), Plain((channels,)))
    flat = flattened(spec)

    def body(item: Expr, x: Buffer, w: Buffer, b: Buffer, scale: Buffer, out: Buffer) -> None:
        _Kernel(flat, plan, isa, _view(x, flat.x), w, b, scale, _view(out, flat.out)).item(item)

    return range_kernel(symbol, (spec.x, *constants, spec.out), body)


def check(spec: QConvSpec) -> None:
    """Raise InternalError where the layouts break the contract of a convolution."""
    x, out = spec.x, spec.out
    if x.n != out.n or x.c % spec.group or out.c % spec.group or x.block % GROUP:
        raise InternalError("kernel-layout", f"a convolution in {spec.group} groups cannot go from {x} to {out}")
    if x.dtype not in ("int8", "uint8") or (out.dtype == "float32") != (spec.y is None):
        raise InternalError("kernel-layout", f"a quantised convolution cannot go from {x} to {out}")
    kernel = (spec.kernel[0], qdepthwise.read_columns(spec) if qdepthwise.suits(spec) else spec.kernel[1])
    reach = [
        (size - 1) * stride + (taps - 1) * dilation + 1 - pad
        for size, stride, taps, dilation, pad in zip(
            (out.h, out.w), spec.strides, kernel, spec.dilations, spec.pads[:2], strict=True
        )
    ]
    if (
        x.halo.top < spec.pads[0]
        or x.halo.left < spec.pads[1]
        or x.h + x.halo.bottom < reach[0]
        or x.w + x.halo.right < reach[1]
    ):
        raise InternalError("kernel-halo", f"windows of {spec} reach beyond the halo of the input")


def flattened(spec: QConvSpec) -> QConvSpec:
    """A 1x1 convolution without any halo as one with a single column, so that tiles need not end with image rows."""
    if spec.kernel != (1, 1) or spec.strides != (1, 1) or any(spec.pads) or spec.x.halo or spec.out.halo:
        return spec
    x, out = (replace(m, h=m.h * m.w, w=1) for m in (spec.x, spec.out))
    return replace(spec, x=x, out=out)


@dataclass(frozen=True)
class _Plan:
    """How one convolution is cut.

    Attributes:
        spec: with 1x1 flattened.
        parts: stretches of output blocks that read the same input channels: the groups, or single blocks.
        blocks: output blocks of one part.
        channel_tiles: these blocks in tiles.
        rows: output rows in tiles.
        columns: output columns in tiles.
        band: tile rows of one work item.
        channels_outer: whether channel tiles are the outer loop.
    """

    spec: QConvSpec
    parts: int
    blocks: int
    channel_tiles: tuple[Run, ...]
    rows: tuple[Run, ...]
    columns: tuple[Run, ...]
    band: int
    channels_outer: bool

    @property
    def bands(self) -> int:
        return -(-piece_count(self.rows) // self.band)

    @property
    def taps(self) -> int:
        return math.prod(self.spec.kernel)

    @property
    def steps(self) -> int:
        return self.quads * self.taps

    def first_quad(self, part: Expr) -> Expr:
        """The first four input channels that a part reads."""
        spec = self.spec
        if spec.group == 1:
            return 0
        inputs, outputs = spec.x.c // spec.group, spec.out.c // spec.group
        first = part * self.blocks * spec.out.block // outputs * inputs // GROUP
        last = -(-spec.x.c // GROUP) - self.quads
        return min(first, last) if isinstance(first, int) else T.min(first, last)

    @cached_property
    def quads(self) -> int:
        """Input channels of a part, in fours."""
        spec = self.spec
        inputs, outputs = spec.x.c // spec.group, spec.out.c // spec.group
        width = self.blocks * spec.out.block
        wanted = []
        for part in range(self.parts):
            groups = part * width // outputs, min((part + 1) * width, spec.out.c) - 1
            wanted.append(-(-(groups[1] // outputs + 1) * inputs // GROUP) - groups[0] * inputs // GROUP)
        return max(wanted)

    @cached_property
    def chunk(self) -> int:
        """Quads of one pass over the taps: an input block, or 1 where parts do not start on blocks."""
        per_block = self.spec.x.block // GROUP
        aligned = self.parts == 1 or (
            self.quads % per_block == 0 and all(self.first_quad(p) % per_block == 0 for p in range(self.parts))
        )
        return per_block if aligned else 1

    def dense_weights(self, w: np.ndarray, part: int) -> np.ndarray:
        """(outputs of the part, its input channels, taps), zero where the two belong to different groups."""
        spec, width = self.spec, self.blocks * self.spec.out.block
        inputs, outputs = spec.x.c // spec.group, spec.out.c // spec.group
        dense = np.zeros((width, self.quads * GROUP, self.taps), np.int8)
        base = int(self.first_quad(part)) * GROUP
        for channel in range(part * width, min((part + 1) * width, spec.out.c)):
            first = channel // outputs * inputs - base
            dense[channel - part * width, first : first + inputs] = w[channel].reshape(inputs, self.taps)
        return dense

    def ordered(self, dense: np.ndarray) -> np.ndarray:
        """`dense_weights` as (steps, outputs, 4): chunks of quads, taps, quads of the chunk."""
        outputs = len(dense)
        full = self.quads // self.chunk * self.chunk
        pieces = []
        for quads in (dense[:, : full * GROUP], dense[:, full * GROUP :]):
            size = self.chunk if quads is not None and quads.shape[1] >= self.chunk * GROUP else self.quads - full
            if quads.shape[1]:
                split = quads.reshape(outputs, -1, size, GROUP, self.taps)
                pieces.append(split.transpose(1, 4, 2, 0, 3).reshape(-1, outputs, GROUP))
        return np.concatenate(pieces)

    @staticmethod
    def of(spec: QConvSpec, isa: Isa) -> _Plan:
        spec = flattened(spec)
        x, out = spec.x, spec.out
        outputs = out.c // spec.group
        if spec.group == 1:
            parts, blocks = 1, out.blocks
        elif outputs % out.block == 0:
            parts, blocks = spec.group, outputs // out.block
        else:
            parts, blocks = out.blocks, 1
        shape = choose_tile(blocks, out.h, out.w, isa, -(-out.block // isa.lanes))
        channel_tiles = even_runs(blocks, shape.vectors)
        rows, columns = even_runs(out.h, shape.rows), even_runs(out.w, shape.columns)
        plan = _Plan(spec, parts, blocks, channel_tiles, rows, columns, 1, False)
        channels_outer = plan.steps * blocks * out.block * GROUP > RESIDENT_WEIGHTS_BYTES
        tile_rows, tiles = piece_count(rows), x.n * parts * piece_count(channel_tiles)
        if channels_outer:
            band = -(-tile_rows // min(tile_rows, -(-ITEMS // tiles)))
        else:
            row_bytes = shape.rows * spec.strides[0] * x.w * x.c
            band = max(1, min(BAND_INPUT_BYTES // row_bytes, tile_rows * tiles // ITEMS, tile_rows))
        return replace(plan, band=band, channels_outer=channels_outer)


@dataclass
class _Kernel:
    """A convolution with its buffers, inside the function under construction."""

    spec: QConvSpec
    plan: _Plan
    isa: Isa
    x: Buffer
    w: Buffer
    b: Buffer
    scale: Buffer
    out: Buffer

    def item(self, item: Expr) -> None:
        """Work item number `item`."""
        spec, plan = self.spec, self.plan
        tiles = piece_count(plan.channel_tiles)
        if plan.channels_outer:
            image, part, tile, band = decode(item, (spec.x.n, plan.parts, tiles, plan.bands))
        else:
            image, band, part, tile = decode(item, (spec.x.n, plan.bands, plan.parts, tiles))
        on_piece(tile, plan.channel_tiles, lambda first, vectors: self._band(image, part, band, first, vectors))

    def _band(self, image: Expr, part: Expr, band: Expr, first: Expr, vectors: int) -> None:
        """One band of rows of `vectors` channel blocks, from block `first` of the part on."""
        plan = self.plan
        begin = band * plan.band
        end = T.min(begin + plan.band, piece_count(plan.rows))

        def tile_row(y: Expr, rows: int) -> None:
            def tile(x: Expr, columns: int) -> None:
                _Tile(self, image, part, first, vectors, (y, rows), (x, columns)).emit()

            each_piece(plan.columns, tile)
            if self.spec.out.halo:
                with T.serial(0, vectors) as v, T.serial(0, rows) as row:
                    zero_halo(self.out, self.spec.out, image, part * plan.blocks + first + v, y + row)

        with T.serial(begin, end) as row:
            on_piece(row, plan.rows, tile_row)


@dataclass
class _Tile:
    """`vectors` channel blocks, from block `first` of `part` on, by `rows` and `columns` (first, count) of `image`."""

    kernel: _Kernel
    image: Expr
    part: Expr
    first: Expr
    vectors: int
    rows: tuple[Expr, int]
    columns: tuple[Expr, int]

    @property
    def pixels(self) -> list[tuple[Expr, Expr]]:
        (y, rows), (x, columns) = self.rows, self.columns
        return [(y + dy, x + dx) for dy in range(rows) for dx in range(columns)]

    def emit(self) -> None:
        spec, lanes = self.kernel.spec, self.kernel.spec.out.block
        acc = Accumulators([lanes] * self.vectors, len(self.pixels), "int32")
        block = T.Bind(self.part * self.kernel.plan.blocks + self.first)
        acc.fill([self.kernel.b[vector(lanes, (block + v) * lanes)] for v in range(self.vectors)])
        self._reduce(acc)
        for v in range(self.vectors):
            scale = T.Bind(self.kernel.scale[vector(lanes, (block + v) * lanes)])
            for p, (y, x) in enumerate(self.pixels):
                value = finish(acc.get(v, p), scale, spec.y, spec.out.dtype)
                place = [self.image, block + v, spec.out.halo.top + y, spec.out.halo.left + x, vector(lanes)]
                T.buffer_store(self.kernel.out, value, place)

    def _reduce(self, acc: Accumulators) -> None:
        plan, spec = self.kernel.plan, self.kernel.spec
        per_block, chunk, taps = spec.x.block // GROUP, plan.chunk, plan.taps
        start = T.Bind(plan.first_quad(self.part)) if plan.parts > 1 else 0
        full, tail = divmod(plan.quads, chunk)
        most = max(1, UNROLL // (len(self.pixels) * self.vectors))
        unroll = max(d for d in range(1, chunk + 1) if chunk % d == 0 and d <= most)

        def chunk_tap(c: Expr, tap: Expr, kh: Expr, kw: Expr) -> None:
            with T.serial(0, chunk // unroll) as outer:
                for inner in range(unroll):
                    index = outer * unroll + inner
                    step = (c * taps + tap) * chunk + index
                    if chunk == per_block:
                        self._step(acc, start // per_block + c, index, step, kh, kw)
                    else:
                        quad = start + c
                        self._step(acc, quad // per_block, quad % per_block, step, kh, kw)

        if full:
            with T.serial(0, full) as c:
                self._over_taps(lambda *tap: chunk_tap(c, *tap))
        if tail:

            def tail_tap(tap: Expr, kh: Expr, kw: Expr) -> None:
                for index in range(tail):
                    self._step(acc, full, index, full * taps * chunk + tap * tail + index, kh, kw)

            self._over_taps(tail_tap)

    def _over_taps(self, body: Callable[[Expr, Expr, Expr], None]) -> None:
        """Emit ``body(tap, kh, kw)`` in loops over the kernel."""
        rows, columns = self.kernel.spec.kernel
        with T.serial(0, rows) as kh, T.serial(0, columns) as kw:
            body(kh * columns + kw, kh, kw)

    def _step(self, acc: Accumulators, block: Expr, quad: Expr, step: Expr, kh: Expr, kw: Expr) -> None:
        """One step of the reduction: input channels 4 `quad` to 4 `quad` + 3 of `block` under tap (kh, kw)."""
        spec, plan, isa = self.kernel.spec, self.kernel.plan, self.kernel.isa
        lanes = spec.out.block
        tile = (self.part * plan.blocks + self.first) * plan.steps  # in vectors
        weights = [
            T.Bind(self.kernel.w[vector(GROUP * lanes, (tile + step * self.vectors + v) * GROUP * lanes)])
            for v in range(self.vectors)
        ]
        for p, inputs in enumerate(self._inputs(block, quad, kh, kw)):
            for v, weight in enumerate(weights):
                acc.set(v, p, add_dot(acc.get(v, p), inputs, weight, spec.x.dtype, isa))

    def _inputs(self, block: Expr, quad: Expr, kh: Expr, kw: Expr) -> list[Expr]:
        """For each pixel four input channels, in every lane."""
        spec, isa, lanes = self.kernel.spec, self.kernel.isa, self.kernel.spec.out.block
        top = spec.x.halo.top - spec.pads[0] + kh * spec.dilations[0]
        left = spec.x.halo.left - spec.pads[1] + kw * spec.dilations[1]
        (y, rows), (x, columns) = self.rows, self.columns

        def load(row: Expr, column: Expr, count: int) -> Expr:
            """`count` neighbouring pixels; more than one only where a block is four channels."""
            stored = self.kernel.x[self.image, block, row, column, vector(count * GROUP, quad * GROUP)]
            words = tirx.reinterpret(dtype_of(count, "int32"), stored)
            return T.Bind(activations(words, spec.x.dtype, lanes, isa))

        inputs: list[Expr] = []
        for dy in range(rows):
            row = top + (y + dy) * spec.strides[0]
            if _reads_neighbours(spec, columns, isa):
                loaded = [load(row, left + x + min(dx, columns - GROUP), GROUP) for dx in range(0, columns, GROUP)]
                for dx in range(columns):
                    lane = dx - min(dx // GROUP * GROUP, columns - GROUP)
                    inputs.append(tirx.Shuffle([loaded[dx // GROUP]], [lane] * lanes))
                continue
            for dx in range(columns):
                inputs.append(T.Bind(splat(load(row, left + (x + dx) * spec.strides[1], 1), lanes)))
        return inputs


def _reads_neighbours(spec: QConvSpec, columns: int, isa: Isa) -> bool:
    """Whether one load serves four pixels, as Arm's dot product takes any lane of a register for one operand."""
    same = spec.strides[1] == 1 and spec.x.block == spec.out.block == GROUP
    return same and columns >= GROUP and isa.triple.startswith("aarch64")


def _view(buffer: Buffer, layout: Blocked) -> Buffer:
    """`buffer` with the shape of `layout`, which holds as many elements."""
    return T.decl_buffer(layout.physical_shape, layout.dtype, data=buffer.data, layout=None)
