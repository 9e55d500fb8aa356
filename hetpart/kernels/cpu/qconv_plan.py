"""How a quantised convolution is cut, and how its weights are laid out for dot products of four channels.

Groups that do not fill output blocks are computed as dense products over all channels that a block depends on, with
zero weights between the groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.kernels.cpu.conv_frame import Frame, in_one_column, is_flat
from hetpart.kernels.cpu.conv_plan import BAND_INPUT_BYTES, ITEMS
from hetpart.kernels.cpu.dot import GROUP
from hetpart.kernels.cpu.emit import Expr
from hetpart.kernels.cpu.tiles import choose_tile, even_runs, piece_count
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import QConvSpec

RESIDENT_WEIGHTS_BYTES = 256 << 10
"""Weights up to this size are re-read from L2 for every band: half of the 512 KiB of a Cortex-A76."""


@dataclass(frozen=True)
class QConvPlan:
    """How one convolution is cut, and in which order its weights lie.

    Attributes:
        spec: with 1x1 flattened.
        frame: its loops; parts are the groups, or single output blocks.
    """

    spec: QConvSpec
    frame: Frame

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
        first = part * self.frame.blocks * spec.out.block // outputs * inputs // GROUP
        last = -(-spec.x.c // GROUP) - self.quads
        return min(first, last) if isinstance(first, int) else T.min(first, last)

    @cached_property
    def quads(self) -> int:
        """Input channels of a part, in fours."""
        spec = self.spec
        inputs, outputs = spec.x.c // spec.group, spec.out.c // spec.group
        width = self.frame.blocks * spec.out.block
        wanted = []
        for part in range(self.frame.parts):
            groups = part * width // outputs, min((part + 1) * width, spec.out.c) - 1
            wanted.append(-(-(groups[1] // outputs + 1) * inputs // GROUP) - groups[0] * inputs // GROUP)
        return max(wanted)

    @cached_property
    def chunk(self) -> int:
        """Quads of one pass over the taps: an input block, or 1 where parts do not start on blocks."""
        per_block = self.spec.x.block // GROUP
        aligned = self.frame.parts == 1 or (
            self.quads % per_block == 0 and all(self.first_quad(p) % per_block == 0 for p in range(self.frame.parts))
        )
        return per_block if aligned else 1

    def dense_weights(self, w: np.ndarray, part: int) -> np.ndarray:
        """(outputs of the part, its input channels, taps), zero where the two belong to different groups."""
        spec, width = self.spec, self.frame.blocks * self.spec.out.block
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
    def of(spec: QConvSpec, isa: Isa) -> QConvPlan:
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
        plan = QConvPlan(spec, Frame(out, parts, blocks, channel_tiles, rows, columns, 1, False))
        channels_outer = plan.steps * blocks * out.block * GROUP > RESIDENT_WEIGHTS_BYTES
        tile_rows, tiles = piece_count(rows), x.n * parts * piece_count(channel_tiles)
        if channels_outer:
            band = -(-tile_rows // min(tile_rows, -(-ITEMS // tiles)))
        else:
            row_bytes = shape.rows * spec.strides[0] * x.w * x.c
            band = max(1, min(BAND_INPUT_BYTES // row_bytes, tile_rows * tiles // ITEMS, tile_rows))
        return replace(plan, frame=replace(plan.frame, band=band, channels_outer=channels_outer))


def flattened(spec: QConvSpec) -> QConvSpec:
    """As `hetpart.kernels.cpu.conv_plan.flattened`."""
    return replace(spec, x=in_one_column(spec.x), out=in_one_column(spec.out)) if is_flat(spec) else spec
