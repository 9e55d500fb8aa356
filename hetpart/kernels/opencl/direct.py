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

from hetpart.kernels.half import as_stored
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import tiles
from hetpart.kernels.opencl.blocked import Position, argument, block_terms, strides
from hetpart.kernels.opencl.stored import Stored
from hetpart.kernels.opencl.text import AHEAD, affine, for_range, indent, loop, prefetch, vector
from hetpart.kernels.opencl.tiles import Tile
from hetpart.kernels.spec import ConvSpec, ConvTransposeSpec

STREAMED = 8
"""Tiles of a map up to which a tile device asks for weights in advance; with more, most of them are in a cache."""


def tile(spec: ConvSpec, device: Device) -> Tile:
    return tiles.choose(device, out_blocks(spec), spec.out.h, spec.out.w)


def x_argument(spec: ConvSpec, device: Device) -> str:
    return Stored(spec.x.dtype).argument("x") if device.tile_items else argument("x", spec.x)


def w_argument(spec: ConvSpec, device: Device, tile: Tile) -> str:
    return weights(spec).argument("w")


def contract(spec: ConvSpec, device: Device, tile: Tile, at: Position) -> list[str]:
    x_block, channels = spec.x.block, spec.x.c // spec.group
    whole, rest = divmod(channels, x_block)
    lines = [weights_pointer(spec, tile, at)]
    first = "0"
    if spec.group > 1:
        lines.append(f"const int first = {at.block} / {out_blocks(spec)} * {whole};  // input block of the group")
        first = "first"

    pixels = Stored(spec.x.dtype, 1 if device.tile_items else x_block)
    scale = x_block if pixels.form in ("float", "half") else 1
    kh, kw = spec.kernel

    def over_taps(number: str, multiply: list[str]) -> list[str]:
        """`multiply` under every tap, for input block `number` of the group."""

        def tap(ky: str, kx: str) -> list[str]:
            offset = _pixel(spec, at, (first, number), ky, kx, scale)
            return [f"__global const {pixels.form}* pixel = x + {offset};", *multiply]

        return loop("ky", kh, lambda ky: loop("kx", kw, lambda kx: tap(ky, kx)))

    if device.tile_items:
        declare, lanes = [], str(rest or x_block)
        if whole and rest:
            declare, lanes = [f"const int lanes = k < {whole} ? {x_block} : {rest};"], "lanes"
        body = for_range("lane", "0", lanes, _lane(spec, tile))
        return [*lines, *scoped(loop("k", whole + (rest > 0), lambda k: [*declare, *over_taps(k, body)]))]

    def read(_: int, row: int, column: int) -> str:
        return pixels.read("pixel", _apart(spec, row, column))

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
    return as_stored(np.concatenate(pieces, axis=1), spec.x.dtype)


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
    return weights(spec).pointer("weights", "w", [(tiles.stack(at, tile), count)])


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
        take = weight or (lambda lane, r: weights(spec).read("weights", lane * tile.blocks + r))
        lines.append(" ".join(f"w{r} = {take(lane, r)};" for r in range(tile.blocks)))
        for r in range(tile.blocks):
            lines += [f"sum{r}_{p} += x{p}{part} * w{r};" for p in range(tile.pixels)]
    if weight is None:
        lines.append(weights(spec).advance("weights", lanes * tile.blocks))
    return lines


def scoped(lines: list[str]) -> list[str]:
    """`lines` in a scope of their own if they are no loop that makes one."""
    return lines if lines[0].startswith("for") else ["{", *indent(lines), "}"]


def weights(spec: ConvSpec | ConvTransposeSpec) -> Stored:
    """How weights are stored: as the map that they are multiplied with."""
    return Stored(spec.x.dtype, spec.out.block)


def _apart(spec: ConvSpec, row: int, column: int) -> int:
    """Vectors between the input pixels of the tile's first output and of the one at `row`, `column` of the tile."""
    _, down, right = strides(spec.x)
    return row * spec.strides[0] * down + column * spec.strides[1] * right


def _pixel(spec: ConvSpec, at: Position, blocks: tuple[str, str], ky: str, kx: str, scale: int) -> str:
    """Offset of the input pixel under tap (ky, kx) of the tile's first output, in units of 1 / `scale` vectors."""
    image, row, column = (stride * scale for stride in strides(spec.x))
    (sy, sx), (dy, dx) = spec.strides, spec.dilations
    top, left = spec.x.halo.top - spec.pads[0], spec.x.halo.left - spec.pads[1]
    return affine(
        [
            (at.image, image),
            *block_terms(spec.x, blocks, scale),
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
    form, w, x = vector(spec.out.block), weights(spec), Stored(spec.x.dtype)
    ahead = [(AHEAD * tile.blocks + r) * w.step for r in range(tile.blocks)] if _streams(spec, tile) else []
    lines = [prefetch("weights", number) for number in ahead]
    lines += [f"const {form} w{r} = {w.read('weights', r)};" for r in range(tile.blocks)]
    for pixel, row, column in tile.each_pixel():
        number = affine([("lane", 1)], _apart(spec, row, column) * spec.x.block)
        lines.append(f"const float x{pixel} = {x.read('pixel', number)};")
        lines += [f"sum{r}_{pixel} += x{pixel} * w{r};" for r in range(tile.blocks)]
    return [*lines, w.advance("weights", tile.blocks)]
