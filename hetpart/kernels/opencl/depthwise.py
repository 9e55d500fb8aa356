"""The sum of a depthwise convolution: lane by lane, no channel meets another.

For each kernel row and kernel column: ``sum[pixel] += x[pixel] * w``.
"""

from __future__ import annotations

import numpy as np

from hetpart.graph.layout import Image
from hetpart.kernels.half import as_stored
from hetpart.kernels.kernel import Device, Packed, Texture
from hetpart.kernels.opencl import direct, tiles, window
from hetpart.kernels.opencl.blocked import Position, argument, block_terms, strides
from hetpart.kernels.opencl.stored import Stored
from hetpart.kernels.opencl.text import SAMPLER, affine, loop, vector
from hetpart.kernels.opencl.tiles import Tile
from hetpart.kernels.spec import ConvSpec


def tile(spec: ConvSpec, device: Device) -> Tile:
    return tiles.choose(device, spec.out.blocks, spec.out.h, spec.out.w, max_blocks=1)


def x_argument(spec: ConvSpec, device: Device) -> str:
    return argument("x", spec.x)


def w_argument(spec: ConvSpec, device: Device, tile: Tile) -> str:
    if _textured(spec, device):
        return "__read_only image2d_t w"
    return direct.weights(spec).argument("w")


def contract(spec: ConvSpec, device: Device, tile: Tile, at: Position) -> list[str]:
    (kh, kw), x = spec.kernel, spec.x
    form = vector(spec.out.block)

    def weight(ky: str, kx: str) -> str:
        if _textured(spec, device):
            return f"read_imagef(w, {SAMPLER}, (int2)({affine([(ky, kw), (kx, 1)])}, {at.block}))"
        number = affine([(at.block, kh * kw), (ky, kw), (kx, 1)])
        return direct.weights(spec).read("w", number)

    if isinstance(x, Image):

        def tap(ky: str, kx: str) -> list[str]:
            lines = [*window.columns(spec, at, kx, tile), f"const {form} weight = {weight(ky, kx)};"]
            reads = [(number, window.read(row, column)) for number, row, column in tile.each_pixel()]
            return [*lines, *(f"sum0_{number} += {read} * weight;" for number, read in reads)]

        return [
            f"const int from = {affine([(at.block, x.w)], x.first * x.w)};",
            *loop("ky", kh, lambda ky: [*window.rows(spec, at, ky, tile), *loop("kx", kw, lambda kx: tap(ky, kx))]),
        ]

    pixels = Stored(x.dtype, x.block)
    image, row, column = strides(x)
    (sy, sx), (dy, dx) = spec.strides, spec.dilations
    origin = (x.halo.top - spec.pads[0]) * row + (x.halo.left - spec.pads[1]) * column
    start = [(at.image, image), *block_terms(x, (at.block,)), (at.row, sy * row), (at.column, sx * column)]

    def in_buffer(ky: str, kx: str) -> list[str]:
        lines = [f"const {form} weight = {weight(ky, kx)};"]
        for number, y, u in tile.each_pixel():
            offset = affine([(ky, dy * row), (kx, dx * column)], y * sy * row + u * sx * column)
            lines.append(f"sum0_{number} += {pixels.read('pixel', offset)} * weight;")
        return lines

    pointer = pixels.pointer("pixel", "x", start, origin)
    return [pointer, *loop("ky", kh, lambda ky: loop("kx", kw, lambda kx: in_buffer(ky, kx)))]


def pack(spec: ConvSpec, device: Device, tile: Tile, w: np.ndarray) -> Packed:
    """Weights (output blocks, kh, kw, block), also as the texels of an image; spare lanes are zero."""
    padded = np.zeros((spec.out.blocks * spec.out.block, *spec.kernel), np.float32)
    padded[: spec.out.c] = w[:, 0]
    blocks = padded.reshape(spec.out.blocks, spec.out.block, *spec.kernel).transpose(0, 2, 3, 1)
    packed = as_stored(blocks, spec.x.dtype)
    if _textured(spec, device):
        return Texture(packed.reshape(spec.out.blocks, -1, spec.out.block))
    return packed


def _textured(spec: ConvSpec, device: Device) -> bool:
    taps = spec.kernel[0] * spec.kernel[1]
    return isinstance(spec.x, Image) and window.textured(spec.out.blocks, taps, device.max_image)
