"""The sum of a depthwise convolution: lane by lane, no channel meets another.

For each kernel row and kernel column: ``sum[pixel] += x[pixel] * w``.
"""

from __future__ import annotations

import numpy as np

from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import tiles
from hetpart.kernels.opencl.blocked import Position, strides
from hetpart.kernels.opencl.text import affine, loop, vector
from hetpart.kernels.opencl.tiles import Tile
from hetpart.kernels.spec import ConvSpec


def tile(spec: ConvSpec, device: Device) -> Tile:
    return tiles.choose(device, spec.out.blocks, spec.out.h, spec.out.w, max_blocks=1)


def x_width(spec: ConvSpec, device: Device) -> int:
    return spec.x.block


def contract(spec: ConvSpec, device: Device, tile: Tile, at: Position) -> list[str]:
    image, block, row, column = strides(spec.x)
    (sy, sx), (dy, dx) = spec.strides, spec.dilations
    origin = (spec.x.halo.top - spec.pads[0]) * row + (spec.x.halo.left - spec.pads[1]) * column
    start = affine([(at.image, image), (at.block, block), (at.row, sy * row), (at.column, sx * column)], origin)
    form = vector(spec.out.block)

    def tap(ky: str, kx: str) -> list[str]:
        weight = affine([(at.block, spec.kernel[0] * spec.kernel[1]), (ky, spec.kernel[1]), (kx, 1)])
        lines = [f"const {form} weight = w[{weight}];"]
        for number, y, x in tile.each_pixel():
            offset = affine([(ky, dy * row), (kx, dx * column)], y * sy * row + x * sx * column)
            lines.append(f"sum0_{number} += pixel[{offset}] * weight;")
        return lines

    return [
        f"__global const {form}* pixel = x + {start};",
        *loop("ky", spec.kernel[0], lambda ky: loop("kx", spec.kernel[1], lambda kx: tap(ky, kx))),
    ]


def pack(spec: ConvSpec, tile: Tile, w: np.ndarray) -> np.ndarray:
    """Weights (output blocks, kh, kw, block); lanes beyond the last channel are zero."""
    padded = np.zeros((spec.out.blocks * spec.out.block, *spec.kernel), np.float32)
    padded[: spec.out.c] = w[:, 0]
    return np.ascontiguousarray(padded.reshape(spec.out.blocks, spec.out.block, *spec.kernel).transpose(0, 2, 3, 1))
