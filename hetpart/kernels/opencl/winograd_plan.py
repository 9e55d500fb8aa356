"""Whether and how a tile device convolves by Winograd's transform, by an estimate of cycles.

It adds up multiply-adds, transforms and the bytes of weights, as for the CPU's kernels. Constants were set by hand, to
agree with times of PoCL 3.0 on one core of a Xeon of 2023, relative to the direct kernel: 25 shapes, of 3 to 512
channels, none held out. Near break-even the choice is not settled.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import direct, tiles
from hetpart.kernels.opencl.tiles import Tile
from hetpart.kernels.spec import ConvSpec
from hetpart.kernels.winograd import OUTPUTS, TAPS, applies

_SHARE = 0.7
"""Of local memory, for V and M, or for weights that are to stay in a cache of that size."""

_TRANSFORM_SLOTS = {16: 200, 24: 360, 36: 560}
"""By positions: transform of one patch of one block, input or output."""

_WEIGHT_SLOTS = 8
"""Issue slots that pass while one vector of weights comes from the second-level cache and is asked for in advance."""

_FIRST_SLOTS, _AGAIN_SLOTS = 2 / 3, 2 / 8
"""Per byte of weights that come from memory, and from the last-level cache in further passes."""


@dataclass(frozen=True)
class WinogradPlan:
    """How one convolution is cut.

    Attributes:
        outputs: m of rows and columns.
        patches: patches per column and per row of the map.
        band: rows of patches of one work-item.
        group: output blocks that are multiplied before they are transformed back; divides the output's.
        tile: output blocks (they divide the group's) x 1 x patches whose sums are in registers.
    """

    outputs: tuple[int, int]
    patches: tuple[int, int]
    band: int
    group: int
    tile: Tile

    @property
    def positions(self) -> int:
        """Positions of a patch: so many matrix products there are."""
        return _positions(self.outputs)

    @property
    def bands(self) -> int:
        return -(-self.patches[0] // self.band)

    @property
    def columns(self) -> int:
        """Patches of a band."""
        return self.band * self.patches[1]

    @property
    def stride(self) -> int:
        """Vectors between the channel blocks of V and M: an odd number, so that they do not compete for cache sets."""
        return self.columns | 1

    def local_bytes(self, spec: ConvSpec) -> int:
        """Size of V and M."""
        return 4 * spec.x.block * self.positions * self.stride * (spec.x.blocks + self.group)


@cache
def choose(spec: ConvSpec, device: Device) -> WinogradPlan | None:
    """The fastest plan whose V and M fit into local memory; None where the direct kernel is faster."""
    if not device.tile_items or not applies(spec):
        return None
    timed = [(_slots(spec, device, plan), number, plan) for number, plan in enumerate(_plans(spec, device))]
    slots, _, plan = min(timed, default=(0.0, 0, None))
    return plan if plan and slots < _direct_slots(spec, device) else None


def _plans(spec: ConvSpec, device: Device) -> list[WinogradPlan]:
    """For every m that the map has room for and every band: the best tile, and all output blocks at once or a tile."""
    plans = []
    out = spec.out
    for outputs in OUTPUTS:
        if out.h < outputs[0] or out.w < outputs[1]:
            continue
        patches = -(-out.h // outputs[0]), -(-out.w // outputs[1])
        for band in sorted({-(-patches[0] // bands) for bands in range(1, patches[0] + 1)}):
            tile = _tile(device, out.blocks, band * patches[1])
            for group in (out.blocks, tile.blocks):
                plan = WinogradPlan(outputs, patches, band, group, tile)
                if plan.local_bytes(spec) <= _SHARE * device.local_bytes:
                    plans.append(plan)
                    break
    return plans


def _tile(device: Device, blocks: int, patches: int) -> Tile:
    shapes = [
        Tile(depth, 1, width)
        for depth in range(1, blocks + 1)
        for width in range(1, patches + 1)
        if blocks % depth == 0 and depth * width + depth + 1 <= device.registers
    ]
    return min(
        shapes or [Tile(1, 1, 1)],
        key=lambda tile: blocks // tile.blocks * -(-patches // tile.columns) * _step_slots(tile),
    )


def _step_slots(tile: Tile) -> float:
    """Of a tile, per input channel: as many multiply-add as load pipelines, and no load is ever quite hidden."""
    products, loads = tile.blocks * tile.columns, tile.blocks + tile.columns
    return max(products, loads, tiles.LATENCY, _WEIGHT_SLOTS * tile.blocks) + loads / 5


def _slots(spec: ConvSpec, device: Device, plan: WinogradPlan) -> float:
    tile, bands = plan.tile, spec.out.n * plan.bands
    pieces = spec.out.blocks // tile.blocks * -(-plan.columns // tile.columns)
    products = plan.positions * spec.x.c * bands * pieces * _step_slots(tile)
    transforms = _TRANSFORM_SLOTS[plan.positions] * bands * plan.columns * (spec.x.blocks + spec.out.blocks)
    return products + transforms + _weight_slots(spec, device, plan.positions, bands)


def _direct_slots(spec: ConvSpec, device: Device) -> float:
    tile = direct.tile(spec, device)
    items = tiles.grid(spec.out, tile)
    step = tiles.time(device, tile.blocks, tile.pixels, items.x * items.y * items.z)
    return TAPS**2 * spec.x.c * step + _weight_slots(spec, device, TAPS**2, 1)


def _weight_slots(spec: ConvSpec, device: Device, positions: int, passes: int) -> float:
    size_bytes = 4 * positions * spec.x.c * spec.out.blocks * spec.out.block
    again = 0 if size_bytes <= _SHARE * device.local_bytes else passes - 1
    return size_bytes * (_FIRST_SLOTS + again * _AGAIN_SLOTS)


def _positions(outputs: tuple[int, int]) -> int:
    return (outputs[0] + TAPS - 1) * (outputs[1] + TAPS - 1)
