"""The sum of a grouped convolution whose groups do not fill whole channel blocks; and of transposed convolutions.

The lanes of one output block may then belong to several groups. The kernel goes through the input channels of all
groups that the block touches, one channel at a time, and adds where the lane is a member of the channel's group:

    for each group of the block, channel of the group, kernel row, kernel column:
        sum[pixel] = member ? sum[pixel] + x[pixel] * w : sum[pixel]

A select, not a zero weight: infinities of one group must not turn into NaN in another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hetpart.graph.layout import Blocked
from hetpart.kernels.half import as_stored
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import direct, tiles
from hetpart.kernels.opencl.blocked import Position, strides
from hetpart.kernels.opencl.stored import Stored
from hetpart.kernels.opencl.text import affine, for_range, loop, vector
from hetpart.kernels.opencl.tiles import Tile
from hetpart.kernels.spec import ConvSpec


@dataclass(frozen=True)
class Groups:
    """How `count` groups of channels lie in the blocks of `out`."""

    x: Blocked
    out: Blocked
    count: int

    @property
    def inputs(self) -> int:
        """Input channels of one group."""
        return self.x.c // self.count

    @property
    def outputs(self) -> int:
        return self.out.c // self.count

    def of_block(self, block: int) -> range:
        """The groups that have channels in output block `block`."""
        last = min(self.out.c, (block + 1) * self.out.block) - 1
        return range(block * self.out.block // self.outputs, last // self.outputs + 1)

    @property
    def most(self) -> int:
        """The largest number of groups in one block."""
        return max(len(self.of_block(block)) for block in range(self.out.blocks))

    def declare(self, block: str) -> list[str]:
        """Declarations of the groups ``from`` .. ``to`` - 1 of `block`, and of the group of each of its lanes."""
        if self.count == 1:
            return []
        lanes = ", ".join(str(lane) for lane in range(self.out.block))
        first = affine([(block, self.out.block)])
        return [
            f"const int from = ({first}) / {self.outputs};",
            f"const int to = min({self.count}, ({first} + {self.out.block - 1}) / {self.outputs} + 1);",
            f"const int{self.out.block} lane_group = ({first} + (int{self.out.block})({lanes})) / {self.outputs};",
        ]

    def over_channels(self, plane: int, body: list[str]) -> list[str]:
        """`body` for every input channel of the block's groups: ``channel`` is its offset in x, in numbers.

        `plane` is the number of vectors in one channel block of x.
        """
        block = self.x.stored.block
        number = "c" if self.count == 1 else f"g * {self.inputs} + c"
        offset = f"const int channel = ({number}) / {block} * {plane * block} + ({number}) % {block};"
        channels = for_range("c", "0", str(self.inputs), [offset, *body])
        if self.count == 1:
            return channels
        member = f"const int{self.out.block} member = lane_group == g;"
        return for_range("g", "from", "to", [member, *channels])

    def add(self, total: str, product: str) -> str:
        """The statement that adds `product` to the sum `total` where the lane belongs to the channel's group."""
        if self.count == 1:
            return f"{total} += {product};"
        return f"{total} = member ? {total} + {product} : {total};"

    def arrange(self, w: np.ndarray) -> np.ndarray:
        """Weights (C_out, inputs, kh, kw) as (output block, group of the block, channel, kh, kw, lane)."""
        block = self.out.block
        arranged = np.zeros((self.out.blocks, self.most, self.inputs, *w.shape[2:], block), np.float32)
        for k in range(self.out.c):
            here, lane = divmod(k, block)
            arranged[here, k // self.outputs - self.of_block(here).start, ..., lane] = w[k]
        return arranged


def tile(spec: ConvSpec, device: Device) -> Tile:
    return tiles.choose(device, spec.out.blocks, spec.out.h, spec.out.w, max_blocks=1)


def x_argument(spec: ConvSpec, device: Device) -> str:
    return Stored(spec.x.dtype).argument("x")


def w_argument(spec: ConvSpec, device: Device, tile: Tile) -> str:
    return direct.weights(spec).argument("w")


def contract(spec: ConvSpec, device: Device, tile: Tile, at: Position) -> list[str]:
    groups = Groups(spec.x, spec.out, spec.group)
    block = spec.out.block
    pixels, weights = Stored(spec.x.dtype), direct.weights(spec)
    image, row, column = strides(spec.x)
    (kh, kw), (sy, sx), (dy, dx) = spec.kernel, spec.strides, spec.dilations
    origin = (spec.x.halo.top - spec.pads[0]) * row + (spec.x.halo.left - spec.pads[1]) * column
    start = [(at.image, image), (at.row, sy * row), (at.column, sx * column)]

    def tap(ky: str, kx: str) -> list[str]:
        lines = [f"const {vector(block)} weight = {weights.read('weights', 0)};", weights.advance("weights", 1)]
        for number, y, x in tile.each_pixel():
            offset = affine(
                [("channel", 1), (ky, dy * row * block), (kx, dx * column * block)],
                (y * sy * row + x * sx * column) * block,
            )
            lines.append(groups.add(f"sum0_{number}", f"{pixels.read('pixel', offset)} * weight"))
        return lines

    return [
        *groups.declare(at.block),
        pixels.pointer("pixel", "x", [(n, s * block) for n, s in start], origin * block),
        weights.pointer("weights", "w", [(at.block, groups.most * groups.inputs * kh * kw)]),
        *groups.over_channels(
            spec.x.rows * spec.x.columns, loop("ky", kh, lambda ky: loop("kx", kw, lambda kx: tap(ky, kx)))
        ),
    ]


def pack(spec: ConvSpec, device: Device, tile: Tile, w: np.ndarray) -> np.ndarray:
    """Weights (output block, group of the block, channel of the group, kh, kw, block)."""
    return as_stored(Groups(spec.x, spec.out, spec.group).arrange(w), spec.x.dtype)
