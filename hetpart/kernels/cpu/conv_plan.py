"""Which tiles, bands and loop order a convolution gets.

Two loop orders. Where the weights fit into the L2 cache, bands of rows are the outer loop and the input is read once.
Where they do not, they stream: channel tiles are the outer loop unless it costs more to read the input again for each
of them. The reduction is then cut into chunks whose weights stay in the L1 cache while they are applied to all pixels
of the item; between chunks the partial sums lie in the output. Weights that stream or serve few pixels are prefetched.
A 1x1 convolution whose input fits into the L2 cache does so too: the weights of a network are in no cache when their
layer begins, and while one chunk is applied to all pixels there is time to fetch the next.

In float16 a sum is cut into runs of some `HALF_RUN` products, which are added up in the output: its rounding errors
grow with the length of a run and with their number, not with the length of the whole sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from hetpart.kernels.cpu.conv_frame import Frame, in_one_column, is_flat
from hetpart.kernels.cpu.tiles import Run, TileShape, even_runs, piece_count, rank_tiles
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import ConvSpec

AHEAD = 64
"""Steps of the reduction by which cold weights are asked for in advance."""

FEW_PIXELS = 256
"""For at most so many, reading the weights for the first time, from beyond the L2 cache, is a good part of the time."""

CHUNK_WEIGHTS_BYTES = 32 << 10
"""Weights of one channel tile that stay in L1 while they are applied to all pixels of an item."""

BAND_INPUT_BYTES = 16 << 10
"""Input of one band that is worth keeping in L1 while the channel tiles pass over it."""

HALF_RUN = 128
"""Products that are added one after the other in float16, where more than one channel block fits into a run."""

HALF_LONGEST = 400
"""The same where a channel block times the kernel is more; what is longer is added in float32."""

ITEMS = 16
"""Big layers have at least so many work items, for four cores to share."""


@dataclass(frozen=True)
class Reduction:
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

    @property
    def longest(self) -> int:
        """Products of the parts that no run divides: the taps of one block, or of the tail."""
        return self.taps * max(min(1, self.full) * self.block, self.tail)

    @property
    def half_run(self) -> int:
        """Blocks of a run in float16; the runs are about equal."""
        limit = max(1, HALF_RUN // (self.block * self.taps))
        return max(1, -(-self.full // max(1, -(-self.full // limit))))

    def order(self, w: np.ndarray) -> np.ndarray:
        """(groups, outputs, channels, kh, kw) as (groups, steps, outputs)."""
        groups, outputs, split = len(w), w.shape[1], self.full * self.block
        w = w.reshape(groups, outputs, self.channels, self.taps).transpose(0, 2, 3, 1)
        full = w[:, :split].reshape(groups, self.full, self.block, self.taps, outputs).swapaxes(2, 3)
        tail = w[:, split:].swapaxes(1, 2)
        return np.concatenate([part.reshape(groups, part[0].size // outputs, outputs) for part in (full, tail)], axis=1)


@dataclass(frozen=True)
class Direct:
    """What may be chosen freely for a direct convolution.

    Attributes:
        tile: the largest register tile.
        channels_outer: whether channel tiles are the outer loop.
        band: tile rows of one work item.
        chunk: input blocks per pass over the pixels.
        prefetch: steps of the reduction by which weights are asked for in advance; 0 leaves it to the hardware. With
            channel tiles outside it is the next chunk that is asked for, whatever the number, if there is time to.
    """

    tile: TileShape
    channels_outer: bool
    band: int
    chunk: int
    prefetch: int


@dataclass(frozen=True)
class ConvPlan:
    """Tiles and loop order of one convolution: a choice, and what follows from it.

    Attributes:
        choice: see `Direct`.
        reduction: the sum behind one output.
        blocks: output channel blocks of one group.
        channel_tiles: these blocks in tiles.
        rows: output rows in tiles.
        columns: output columns in tiles.
        run: input blocks that are added in registers, before the sum joins that in the output.
        element: type in which that is done.
    """

    choice: Direct
    reduction: Reduction
    blocks: int
    channel_tiles: tuple[Run, ...]
    rows: tuple[Run, ...]
    columns: tuple[Run, ...]
    run: int
    element: str

    def frame(self, spec: ConvSpec) -> Frame:
        """What it says of the loops; `spec` is what it was made for."""
        out, choice = flattened(spec).out, self.choice
        tiles = self.channel_tiles, self.rows, self.columns
        return Frame(out, spec.group, self.blocks, *tiles, choice.band, choice.channels_outer)

    @property
    def turns(self) -> int:
        """Tiles of a band: so often the weights of a run are used before those of the next one are needed."""
        return min(self.choice.band, piece_count(self.rows)) * piece_count(self.columns)

    @property
    def prefetches_next(self) -> bool:
        """Whether each tile asks for its share of the weights of the next chunk."""
        choice = self.choice
        return choice.prefetch > 0 and choice.channels_outer and self.turns > 1 and self.run == choice.chunk

    @property
    def runs(self) -> int:
        return max(1, -(-self.reduction.full // self.run))

    @property
    def runs_per_chunk(self) -> int:
        return max(1, self.choice.chunk // self.run)

    @property
    def chunks(self) -> int:
        return -(-self.runs // self.runs_per_chunk)

    @staticmethod
    def of(spec: ConvSpec, choice: Direct) -> ConvPlan:
        spec, tile = flattened(spec), choice.tile
        blocks, reduction, run, element = _blocks(spec), _reduction(spec), choice.chunk, "float32"
        if spec.x.dtype == "float16" and reduction.longest <= HALF_LONGEST:
            run, element = reduction.half_run, "float16"
        return ConvPlan(
            choice,
            reduction,
            blocks,
            even_runs(blocks, tile.vectors),
            even_runs(spec.out.h, tile.rows),
            even_runs(spec.out.w, tile.columns),
            run,
            element,
        )


def estimate(spec: ConvSpec, isa: Isa, tile: TileShape | None = None, channels_outer: bool | None = None) -> Direct:
    """A good choice by counting loads and bytes; what is given is kept."""
    spec = flattened(spec)
    x, reduction, blocks = spec.x, _reduction(spec), _blocks(spec)
    size_bytes = np.dtype(x.dtype).itemsize
    weights_bytes = reduction.steps * blocks * spec.group * spec.out.block * size_bytes
    streams = weights_bytes > isa.l2_bytes // 2
    cold = streams or x.n * spec.out.h * spec.out.w <= FEW_PIXELS
    if tile is None:
        tile = ranked_tiles(spec, isa, weight_loads=4 if cold else 2)[0]
    tile_rows, tile_columns = -(-spec.out.h // tile.rows), -(-spec.out.w // tile.columns)
    channel_tiles = -(-blocks // tile.vectors)
    tiles = x.n * spec.group * channel_tiles
    row_bytes = tile.rows * spec.strides[0] * x.w * x.c * size_bytes
    band = max(1, min(BAND_INPUT_BYTES // row_bytes, tile_rows * tiles // ITEMS, tile_rows))
    if channels_outer is None:
        input_again_bytes = x.size_bytes * (channel_tiles - 1) if x.size_bytes > isa.l2_bytes // 2 else 0
        channels_outer = streams and input_again_bytes <= weights_bytes * (-(-tile_rows // band) - 1)
        if spec.kernel == (1, 1) and x.size_bytes <= isa.l2_bytes // 2:
            channels_outer = cold = True
    chunk = max(1, reduction.full)
    if channels_outer:
        band = -(-tile_rows // min(tile_rows, -(-ITEMS // tiles)))
        step_bytes = reduction.block * reduction.taps * tile.vectors * spec.out.block * size_bytes
        if band * tile_columns >= 4:  # pixels enough to make up for reading and writing partial sums
            chunk = max(1, CHUNK_WEIGHTS_BYTES // step_bytes)
    return Direct(tile, channels_outer, band, chunk, AHEAD if cold else 0)


def ranked_tiles(spec: ConvSpec, isa: Isa, weight_loads: int) -> list[TileShape]:
    """`rank_tiles` for the (flattened) convolution."""
    spec = flattened(spec)
    wide = -(-spec.out.block // isa.lanes_of(spec.x.dtype))
    return rank_tiles(_blocks(spec), spec.out.h, spec.out.w, isa, wide, weight_loads)


def _reduction(spec: ConvSpec) -> Reduction:
    channels = spec.x.c // spec.group
    block = 1 if spec.group > 1 and channels % spec.x.block else spec.x.block
    return Reduction(channels, block, math.prod(spec.kernel))


def _blocks(spec: ConvSpec) -> int:
    """Output channel blocks of one group."""
    return spec.out.blocks if spec.group == 1 else spec.out.c // spec.group // spec.out.block


def flattened(spec: ConvSpec) -> ConvSpec:
    """A 1x1 convolution without any halo as one with a single column, so that tiles need not end with image rows."""
    if not is_flat(spec, *spec.operands) or any(m.h * m.w not in (1, spec.out.h * spec.out.w) for m in spec.operands):
        return spec
    operands = tuple(in_one_column(m) for m in spec.operands)
    return replace(spec, x=in_one_column(spec.x), out=in_one_column(spec.out), operands=operands)
