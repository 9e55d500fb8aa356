"""The sum of a convolution in which whole channel blocks belong to one group (mostly: there is one group).

    for each input block of the group, kernel row, kernel column:
        for each lane of the input block:
            sum[block][pixel] += x[pixel][lane] * w[block]

A tile device reads one lane of x at a time and broadcasts it: a rolled loop over the lanes keeps the body at one
multiply-add per sum. A SIMT device reads whole pixels and unrolls the lanes. Lanes beyond the last input channel are
never read, so the weights, packed in exactly the order of this loop nest, have no room for them. With one group x may
have another block than the output (an image with few channels). Where x is stored in float16, so are the weights.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import tiles
from hetpart.kernels.opencl.blocked import Position, argument, strides
from hetpart.kernels.opencl.text import AHEAD, affine, const_in, for_range, indent, loop, prefetch, vector
from hetpart.kernels.opencl.tiles import Tile
from hetpart.kernels.spec import ConvSpec

STREAMED = 8
"""Tiles of a map up to which a tile device asks for weights in advance; with more, most of them are in a cache."""


def tile(spec: ConvSpec, device: Device) -> Tile:
    return tiles.choose(device, out_blocks(spec), spec.out.h, spec.out.w)


def x_argument(spec: ConvSpec, device: Device) -> str:
    return const_in("x") if device.tile_items else argument("x", spec.x)


def w_argument(spec: ConvSpec, device: Device, tile: Tile) -> str:
    return "__global const half* restrict w" if _half(spec) else const_in("w", spec.out.block)


def contract(spec: ConvSpec, device: Device, tile: Tile, at: Position) -> list[str]:
    x_block, channels = spec.x.block, spec.x.c // spec.group
    whole, rest = divmod(channels, x_block)
    lines = [weights_pointer(spec, tile, at)]
    first = "0"
    if spec.group > 1:
        lines.append(f"const int first = {at.block} / {out_blocks(spec)} * {whole};  // input block of the group")
        first = "first"

    form = "float" if device.tile_items else "half" if _half(spec) else vector(x_block)
    scale = x_block if form in ("float", "half") else 1
    kh, kw = spec.kernel

    def over_taps(number: str, multiply: list[str]) -> list[str]:
        """`multiply` under every tap, for input block `number` of the group."""

        def tap(ky: str, kx: str) -> list[str]:
            offset = _pixel(spec, at, (first, number), ky, kx, scale)
            return [f"__global const {form}* pixel = x + {offset};", *multiply]

        return loop("ky", kh, lambda ky: loop("kx", kw, lambda kx: tap(ky, kx)))

    if device.tile_items:
        declare, lanes = [], str(rest or x_block)
        if whole and rest:
            declare, lanes = [f"const int lanes = k < {whole} ? {x_block} : {rest};"], "lanes"
        body = for_range("lane", "0", lanes, _lane(spec, tile))
        return [*lines, *scoped(loop("k", whole + (rest > 0), lambda k: [*declare, *over_taps(k, body)]))]

    def read(_: int, row: int, column: int) -> str:
        offset = row * spec.strides[0] * spec.x.columns + column * spec.strides[1]
        return f"vload_half{x_block}({offset}, pixel)" if _half(spec) else f"pixel[{offset}]"

    if whole:
        lines += scoped(loop("k", whole, lambda k: over_taps(k, multiply(spec, tile, x_block, read))))
    if rest:
        lines += scoped(over_taps(str(whole), multiply(spec, tile, rest, read)))
    return lines


def pack(spec: ConvSpec, device: Device, tile: Tile, w: np.ndarray) -> np.ndarray:
    """Weights (groups of blocks, channel, ky, kx ...) as ``contract`` reads them, in vectors of one block.

    Order: group of `tile.blocks` output blocks; input block; ky; kx; lane; output block of the group.
    """
    groups = grouped_weights(spec, tile, w)
    pieces = [
        groups[:, :, :, start : start + spec.x.block].transpose(0, 4, 5, 3, 1, 2).reshape(len(groups), -1)
        for start in range(0, groups.shape[3], spec.x.block)
    ]
    return np.ascontiguousarray(np.concatenate(pieces, axis=1).astype(spec.x.dtype))


def grouped_weights(spec: ConvSpec, tile: Tile, w: np.ndarray) -> np.ndarray:
    """Weights (group of output blocks, block of the group, lane, input channel, ky, kx); spare lanes are zero."""
    channels = spec.x.c // spec.group
    padded = np.zeros((spec.out.blocks * spec.out.block, channels, *spec.kernel), np.float32)
    padded[: spec.out.c] = w
    return padded.reshape(-1, tile.blocks, spec.out.block, channels, *spec.kernel)


def out_blocks(spec: ConvSpec) -> int:
    """Output blocks that read the same input."""
    return spec.out.blocks if spec.group == 1 else spec.out.c // spec.group // spec.out.block


def weights_pointer(spec: ConvSpec, tile: Tile, at: Position) -> str:
    """The declaration of ``weights``, which points to those of the tile's group of output blocks."""
    count = tile.blocks * spec.kernel[0] * spec.kernel[1] * (spec.x.c // spec.group)
    if _half(spec):
        offset = affine([(tiles.stack(at, tile), count * spec.out.block)])
        return f"__global const half* weights = w + {offset};"
    return f"__global const {vector(spec.out.block)}* weights = w + {affine([(tiles.stack(at, tile), count)])};"


def multiply(
    spec: ConvSpec,
    tile: Tile,
    lanes: int,
    read: Callable[[int, int, int], str],
    weight: Callable[[int, int], str] | None = None,
) -> list[str]:
    """The first `lanes` lanes of all pixels times their weights.

    Args:
        read: the vector of a pixel, by its number, row and column.
        weight: the vector for a lane and an output block; None takes it from ``weights``, which moves on.
    """
    pixels = tile.each_pixel()
    lines = [f"const {vector(spec.x.block)} x{p} = {read(p, row, column)};" for p, row, column in pixels]
    lines.append(f"{vector(spec.out.block)} " + ", ".join(f"w{r}" for r in range(tile.blocks)) + ";")
    for lane in range(lanes):
        part = f".s{lane:x}" if spec.x.block > 1 else ""
        take = weight or (lambda lane, r: _stored(spec, lane * tile.blocks + r))
        lines.append(" ".join(f"w{r} = {take(lane, r)};" for r in range(tile.blocks)))
        for r in range(tile.blocks):
            lines += [f"sum{r}_{p} += x{p}{part} * w{r};" for p in range(tile.pixels)]
    if weight is None:
        lines.append(f"weights += {lanes * tile.blocks * (spec.out.block if _half(spec) else 1)};")
    return lines


def scoped(lines: list[str]) -> list[str]:
    """`lines` in a scope of their own if they are no loop that makes one."""
    return lines if lines[0].startswith("for") else ["{", *indent(lines), "}"]


def _half(spec: ConvSpec) -> bool:
    return spec.x.dtype == "float16"


def _stored(spec: ConvSpec, number: int) -> str:
    return f"vload_half{spec.out.block}({number}, weights)" if _half(spec) else f"weights[{number}]"


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


def _streams(spec: ConvSpec, tile: Tile) -> bool:
    """Whether weights are used so few times that their way from memory decides: at 7 x 7 they take 1.1 to 1.3 times."""
    return -(-spec.out.h // tile.rows) * -(-spec.out.w // tile.columns) <= STREAMED


def _lane(spec: ConvSpec, tile: Tile) -> list[str]:
    """One lane of all pixels times its weights."""
    form = vector(spec.out.block)
    lines = [prefetch("weights", AHEAD * tile.blocks + r) for r in range(tile.blocks)] if _streams(spec, tile) else []
    lines += [f"const {form} w{r} = weights[{r}];" for r in range(tile.blocks)]
    for pixel, row, column in tile.each_pixel():
        offset = (row * spec.strides[0] * spec.x.columns + column * spec.strides[1]) * spec.x.block
        lines.append(f"const float x{pixel} = pixel[{affine([('lane', 1)], offset)}];")
        lines += [f"sum{r}_{pixel} += x{pixel} * w{r};" for r in range(tile.blocks)]
    return [*lines, f"weights += {tile.blocks};"]
