"""Which tiles, bands and loop order a convolution gets.

Two loop orders. Where the weights fit into the L2 cache, bands of rows are the outer loop and the input is read once.
Where they do not, channel tiles are the outer loop, and the reduction is cut into chunks whose weights stay in the L1
cache while they are applied to all pixels of the item; between chunks the partial sums lie in the output.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from hetpart.kernels.cpu.tiles import Run, choose_tile, even_runs, piece_count
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

    def order(self, w: np.ndarray) -> np.ndarray:
        """(groups, outputs, channels, kh, kw) as (groups, steps, outputs)."""
        groups, outputs, split = len(w), w.shape[1], self.full * self.block
        w = w.reshape(groups, outputs, self.channels, self.taps).transpose(0, 2, 3, 1)
        full = w[:, :split].reshape(groups, self.full, self.block, self.taps, outputs).swapaxes(2, 3)
        tail = w[:, split:].swapaxes(1, 2)
        return np.concatenate([part.reshape(groups, part[0].size // outputs, outputs) for part in (full, tail)], axis=1)


@dataclass(frozen=True)
class ConvPlan:
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

    reduction: Reduction
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
    def of(spec: ConvSpec, isa: Isa) -> ConvPlan:
        spec = flattened(spec)
        x, out = spec.x, spec.out
        channels, taps = x.c // spec.group, math.prod(spec.kernel)
        reduction = Reduction(channels, 1 if spec.group > 1 and channels % x.block else x.block, taps)
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
        return ConvPlan(reduction, blocks, channel_tiles, rows, columns, band, channels_outer, chunk)


def flattened(spec: ConvSpec) -> ConvSpec:
    """A 1x1 convolution without any halo as one with a single column, so that tiles need not end with image rows."""
    maps = (spec.x, spec.out, *spec.operands)
    if spec.kernel != (1, 1) or spec.strides != (1, 1) or any(spec.pads) or any(m.halo for m in maps):
        return spec
    if any(m.h * m.w not in (1, spec.out.h * spec.out.w) for m in spec.operands):
        return spec
    x, out, *operands = (replace(m, h=m.h * m.w, w=1) for m in maps)
    return replace(spec, x=x, out=out, operands=tuple(operands))
