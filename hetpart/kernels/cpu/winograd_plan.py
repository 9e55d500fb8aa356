"""Whether and how a convolution goes through Winograd's transform, by an estimate of cycles.

The estimate adds up the multiply-adds, the transforms and the bytes of transformed weights that do not stay in the L2
cache. Its constants were fitted to ResNet's layers on one core of a Xeon of 2023, where it is within 15 % of the times
measured. F(4, 3) multiplies least but has the most weights, so layers of few pixels get a smaller m.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hetpart.kernels.cpu.tiles import Run, choose_tile, even_runs
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import ConvSpec
from hetpart.kernels.winograd import OUTPUTS, TAPS, applies

ITEMS = 8
"""A layer has at least so many work items where its output channels allow it, for four cores to share."""

FEW_CHANNELS = 3
"""Inputs of a picture: so short sums cost less than the transforms and the sums' way through memory. The direct
convolution of 3 channels to 32 or 64 was 1.9 to 2.5 times as fast on a Xeon of 2023."""

_SHARE = 0.7
"""Of the L2 cache, for V and M of a band, or for weights that are to stay."""

_PEAK_SHARE = 0.85
"""Of the peak, reached by the matrix products."""

_STREAM_BYTES = 8
"""Bytes per cycle of weights from beyond the L2 cache."""

_TRANSFORM_CYCLES = {16: 80, 24: 160, 36: 250}
"""By positions: transforms of one patch, of one input and one output channel block."""


@dataclass(frozen=True)
class Winograd:
    """What may be chosen freely.

    Attributes:
        outputs: m of rows and columns.
        band: rows of patches of one work item.
        group: output channel blocks of one work item; a divisor of all.
    """

    outputs: tuple[int, int]
    band: int
    group: int


@dataclass(frozen=True)
class WinogradPlan:
    """How one convolution is cut: a choice, and what follows from it.

    Attributes:
        choice: see `Winograd`.
        patches: patches per column and per row of the image.
        groups: groups of output channel blocks.
        channel_tiles: the blocks of a group in register tiles.
        columns: the patches of a band in register tiles.
        isa: what it is for.
    """

    choice: Winograd
    patches: tuple[int, int]
    groups: int
    channel_tiles: tuple[Run, ...]
    columns: tuple[Run, ...]
    isa: Isa

    @property
    def neon(self) -> bool:
        return self.isa.triple.startswith("aarch64")

    @property
    def outputs(self) -> tuple[int, int]:
        return self.choice.outputs

    @property
    def band(self) -> int:
        return self.choice.band

    @property
    def group(self) -> int:
        return self.choice.group

    @property
    def positions(self) -> int:
        """Positions of a patch: so many matrix products there are."""
        return (self.outputs[0] + TAPS - 1) * (self.outputs[1] + TAPS - 1)

    @property
    def bands(self) -> int:
        return -(-self.patches[0] // self.band)

    @property
    def stride(self) -> int:
        """Vectors between the channel blocks of V and M: an odd number, so that they do not compete for cache sets."""
        return self.band * self.patches[1] | 1

    @staticmethod
    def of(spec: ConvSpec, isa: Isa, choice: Winograd) -> WinogradPlan:
        out, outputs, band, group = spec.out, choice.outputs, choice.band, choice.group
        patches = -(-out.h // outputs[0]), -(-out.w // outputs[1])
        shape = choose_tile(group, 1, band * patches[1], isa, -(-out.block // isa.lanes))
        return WinogradPlan(
            choice,
            patches,
            out.blocks // group,
            even_runs(group, shape.vectors),
            even_runs(band * patches[1], shape.columns),
            isa,
        )


def estimate(spec: ConvSpec, isa: Isa) -> Winograd | None:
    """The fastest choice by counting cycles, None where that is the direct convolution."""
    if not applies(spec) or spec.x.c <= FEW_CHANNELS:
        return None
    candidates = [sized(spec, isa, outputs) for outputs in OUTPUTS]
    cycles = [_cycles(spec, WinogradPlan.of(spec, isa, choice), isa) for choice in candidates]
    least = min(cycles)
    return candidates[cycles.index(least)] if least < _direct_cycles(spec, isa) else None


def sized(spec: ConvSpec, isa: Isa, outputs: tuple[int, int]) -> Winograd:
    """The choice with the widest band whose V and M stay in the cache, and groups if that leaves few bands."""
    lanes, blocks = spec.out.block, spec.out.blocks
    rows, columns = (-(-size // m) for size, m in zip((spec.out.h, spec.out.w), outputs, strict=True))
    positions = math.prod(m + TAPS - 1 for m in outputs)
    row_bytes = 4 * positions * columns * (spec.x.c + blocks * lanes)
    band = max(1, min(rows, int(_SHARE * isa.l2_bytes) // row_bytes))
    band = -(-rows // -(-rows // band))  # equal bands
    bands = -(-rows // band)
    groups = [d for d in range(1, blocks + 1) if blocks % d == 0 and (d == 1 or blocks // d >= 4)]
    count = next((d for d in groups if bands * d >= ITEMS), groups[-1])
    return Winograd(outputs, band, blocks // count)


def _cycles(spec: ConvSpec, plan: WinogradPlan, isa: Isa) -> float:
    patches = spec.x.n * math.prod(plan.patches)
    channels = spec.x.c * spec.out.blocks * spec.out.block
    products = plan.positions * channels * patches / (2 * isa.lanes * _PEAK_SHARE)
    wide = -(-spec.out.block // isa.lanes)  # registers per vector
    blocks = spec.x.blocks + spec.out.blocks
    transforms = _TRANSFORM_CYCLES[plan.positions] * patches * blocks / 2 * wide
    return products + transforms + _weight_cycles(4 * plan.positions * channels, spec.x.n * plan.bands, isa)


def _direct_cycles(spec: ConvSpec, isa: Isa) -> float:
    channels = spec.x.c * spec.out.blocks * spec.out.block
    pixels = spec.out.n * spec.out.h * spec.out.w
    products = TAPS**2 * channels * pixels / (2 * isa.lanes * _PEAK_SHARE)
    return products + _weight_cycles(4 * TAPS**2 * channels, 1, isa)


def _weight_cycles(size_bytes: int, passes: int, isa: Isa) -> float:
    """Reading weights from beyond the L2 cache, in every pass unless they stay there."""
    return size_bytes * (passes if size_bytes > _SHARE * isa.l2_bytes else 1) / _STREAM_BYTES
