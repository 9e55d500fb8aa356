"""The sum of a convolution over input in an image; the loops are those of hetpart.kernels.opencl.direct.

Weights are an image as well, unless they are too large for one: row (group of output blocks, ky, kx), column (input
channel, block of the group). Then they are a buffer in the order of `direct`.
"""

from __future__ import annotations

import numpy as np

from hetpart.graph.layout import Image
from hetpart.kernels.half import as_stored
from hetpart.kernels.kernel import Device, Packed, Texture
from hetpart.kernels.opencl import direct, window
from hetpart.kernels.opencl.blocked import Position, argument
from hetpart.kernels.opencl.text import SAMPLER, affine, loop
from hetpart.kernels.opencl.tiles import Tile, stack
from hetpart.kernels.spec import ConvSpec

tile = direct.tile


def x_argument(spec: ConvSpec, device: Device) -> str:
    return argument("x", spec.x)


def w_argument(spec: ConvSpec, device: Device, tile: Tile) -> str:
    return "__read_only image2d_t w" if _textured(spec, device, tile) else direct.w_argument(spec, device, tile)


def contract(spec: ConvSpec, device: Device, tile: Tile, at: Position) -> list[str]:
    x, (kh, kw) = spec.x, spec.kernel
    whole, rest = divmod(x.c // spec.group, x.block)
    textured = _textured(spec, device, tile)
    number = stack(at, tile)
    lines = [] if textured else [direct.weights_pointer(spec, tile, at)]
    first = "0"
    if spec.group > 1:
        lines.append(
            f"const int first = {at.block} / {direct.out_blocks(spec)} * {whole};  // input block of the group"
        )
        first = "first"

    def weight(lane: int, block: int, k: str) -> str:
        column = affine([(k, x.block * tile.blocks)], lane * tile.blocks + block)
        return f"read_imagef(w, {SAMPLER}, (int2)({column}, tap))"

    def over_taps(k: str, lanes: int) -> list[str]:
        def tap(ky: str, kx: str) -> list[str]:
            load = [f"const int tap = {affine([(number, kh * kw), (ky, kw), (kx, 1)])};"] if textured else []
            from_image = (lambda lane, block: weight(lane, block, k)) if textured else None
            return [
                *load,
                *window.columns(spec, at, kx, tile),
                *direct.multiply(spec, tile, lanes, lambda _, row, column: window.read(row, column), from_image),
            ]

        start = affine([(first, x.w), (k, x.w)], x.first * x.w if isinstance(x, Image) else 0)
        return [
            f"const int from = {start};",
            *loop("ky", kh, lambda ky: [*window.rows(spec, at, ky, tile), *loop("kx", kw, lambda kx: tap(ky, kx))]),
        ]

    if whole:
        lines += direct.scoped(loop("k", whole, lambda k: over_taps(k, x.block)))
    if rest:
        lines += direct.scoped(over_taps(str(whole), rest))
    return lines


def pack(spec: ConvSpec, device: Device, tile: Tile, w: np.ndarray) -> Packed:
    """The weights as an image, or as `direct` packs them."""
    if not _textured(spec, device, tile):
        return direct.pack(spec, device, tile, w)
    groups = direct.grouped_weights(spec, tile, w)
    rows, columns = _size(spec, tile)
    texels = groups.transpose(0, 4, 5, 3, 1, 2).reshape(rows, columns, spec.out.block)
    return Texture(as_stored(texels, spec.x.dtype))


def _size(spec: ConvSpec, tile: Tile) -> tuple[int, int]:
    """Rows and columns of the weights."""
    rows = spec.out.blocks // tile.blocks * spec.kernel[0] * spec.kernel[1]
    return rows, spec.x.c // spec.group * tile.blocks


def _textured(spec: ConvSpec, device: Device, tile: Tile) -> bool:
    return window.textured(*_size(spec, tile), device.max_image)
