"""The sum of a convolution in which whole channel blocks belong to one group (mostly: there is one group).

    for each input block of the group, kernel row, kernel column:
        for each lane of the input block:
            sum[block][pixel] += x[pixel][lane] * w[block]

A tile device reads one lane of x at a time and broadcasts it: a rolled loop over the lanes keeps the body at one
multiply-add per sum. A SIMT device reads whole pixels and unrolls the lanes. Lanes beyond the last input channel are
never read, so the weights, packed in exactly the order of this loop nest, have no room for them. With one group x may
have another block than the output (an image with few channels).
"""

from __future__ import annotations

import numpy as np

from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import tiles
from hetpart.kernels.opencl.blocked import Position, strides
from hetpart.kernels.opencl.text import affine, for_range, indent, loop, vector
from hetpart.kernels.opencl.tiles import Tile
from hetpart.kernels.spec import ConvSpec


def tile(spec: ConvSpec, device: Device) -> Tile:
    return tiles.choose(device, _out_blocks(spec), spec.out.h, spec.out.w)


def x_width(spec: ConvSpec, device: Device) -> int:
    return 1 if device.tile_items else spec.x.block


def contract(spec: ConvSpec, device: Device, tile: Tile, at: Position) -> list[str]:
    block, x_block, channels = spec.out.block, spec.x.block, spec.x.c // spec.group
    whole, rest = divmod(channels, x_block)
    per_group = tile.blocks * spec.kernel[0] * spec.kernel[1] * channels
    lines = [f"__global const {vector(block)}* weights = w + {affine([(tiles.stack(at, tile), per_group)])};"]
    first = "0"
    if spec.group > 1:
        lines.append(f"const int first = {at.block} / {_out_blocks(spec)} * {whole};  // input block of the group")
        first = "first"

    width = x_width(spec, device)
    kh, kw = spec.kernel

    def over_taps(number: str, multiply: list[str]) -> list[str]:
        """`multiply` under every tap, for input block `number` of the group."""

        def tap(ky: str, kx: str) -> list[str]:
            offset = _pixel(spec, at, (first, number), ky, kx, x_block // width)
            return [f"__global const {vector(width)}* pixel = x + {offset};", *multiply]

        return loop("ky", kh, lambda ky: loop("kx", kw, lambda kx: tap(ky, kx)))

    if device.tile_items:
        declare, lanes = [], str(rest or x_block)
        if whole and rest:
            declare, lanes = [f"const int lanes = k < {whole} ? {x_block} : {rest};"], "lanes"
        multiply = for_range("lane", "0", lanes, _lane(spec, tile))
        return [*lines, *_scoped(loop("k", whole + (rest > 0), lambda k: [*declare, *over_taps(k, multiply)]))]
    if whole:
        lines += _scoped(loop("k", whole, lambda k: over_taps(k, _pixels(spec, tile, x_block))))
    if rest:
        lines += _scoped(over_taps(str(whole), _pixels(spec, tile, rest)))
    return lines


def pack(spec: ConvSpec, tile: Tile, w: np.ndarray) -> np.ndarray:
    """Weights (groups of blocks, channel, ky, kx ...) as ``contract`` reads them, in vectors of one block.

    Order: group of `tile.blocks` output blocks; input block; ky; kx; lane; output block of the group.
    """
    block, channels = spec.out.block, spec.x.c // spec.group
    kh, kw = spec.kernel
    padded = np.zeros((spec.out.blocks * block, channels, kh, kw), np.float32)
    padded[: spec.out.c] = w
    groups = padded.reshape(-1, tile.blocks, block, channels, kh, kw)
    pieces = [
        groups[:, :, :, start : start + spec.x.block].transpose(0, 4, 5, 3, 1, 2).reshape(len(groups), -1)
        for start in range(0, channels, spec.x.block)
    ]
    return np.ascontiguousarray(np.concatenate(pieces, axis=1))


def _out_blocks(spec: ConvSpec) -> int:
    """Output blocks that read the same input."""
    return spec.out.blocks if spec.group == 1 else spec.out.c // spec.group // spec.out.block


def _pixel(spec: ConvSpec, at: Position, blocks: tuple[str, str], ky: str, kx: str, scale: int) -> str:
    """Offset of the input pixel under tap (ky, kx) of the tile's first output, in units of 1 / `scale` vectors."""
    image, block, row, column = (stride * scale for stride in strides(spec.x))
    (sy, sx), (dy, dx) = spec.strides, spec.dilations
    top, left = spec.x.halo.top - spec.pads[0], spec.x.halo.left - spec.pads[1]
    return affine(
        [
            (at.image, image),
            *((name, block) for name in blocks),
            (at.row, sy * row),
            (at.column, sx * column),
            (ky, dy * row),
            (kx, dx * column),
        ],
        top * row + left * column,
    )


def _lane(spec: ConvSpec, tile: Tile) -> list[str]:
    """One lane of all pixels times its weights."""
    form = vector(spec.out.block)
    lines = [f"const {form} w{r} = weights[{r}];" for r in range(tile.blocks)]
    for pixel, row, column in tile.each_pixel():
        offset = (row * spec.strides[0] * spec.x.columns + column * spec.strides[1]) * spec.x.block
        lines.append(f"const float x{pixel} = pixel[{affine([('lane', 1)], offset)}];")
        lines += [f"sum{r}_{pixel} += x{pixel} * w{r};" for r in range(tile.blocks)]
    return [*lines, f"weights += {tile.blocks};"]


def _pixels(spec: ConvSpec, tile: Tile, lanes: int) -> list[str]:
    """The first `lanes` lanes of all pixels times their weights."""
    lines = []
    for pixel, row, column in tile.each_pixel():
        offset = row * spec.strides[0] * spec.x.columns + column * spec.strides[1]
        lines.append(f"const {vector(spec.x.block)} x{pixel} = pixel[{offset}];")
    lines.append(f"{vector(spec.out.block)} " + ", ".join(f"w{r}" for r in range(tile.blocks)) + ";")
    for lane in range(lanes):
        part = f".s{lane:x}" if spec.x.block > 1 else ""
        lines.append(" ".join(f"w{r} = weights[{lane * tile.blocks + r}];" for r in range(tile.blocks)))
        for r in range(tile.blocks):
            lines += [f"sum{r}_{p} += x{p}{part} * w{r};" for p in range(tile.pixels)]
    return [*lines, f"weights += {lanes * tile.blocks};"]


def _scoped(lines: list[str]) -> list[str]:
    """`lines` in a scope of their own if they are no loop that makes one."""
    return lines if lines[0].startswith("for") else ["{", *indent(lines), "}"]
