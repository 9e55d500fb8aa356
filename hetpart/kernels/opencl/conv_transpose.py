"""Transposed convolution, computed by gathering: every output pixel collects the inputs that reach it.

Output columns that are a stride apart (equal *phase*) are reached by the same kernel columns, from neighbouring input
columns. A work-item computes such a row of pixels: ``column``, ``column + stride``, ... The sum is that of `grouped`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetpart.errors import InternalError
from hetpart.kernels.half import as_stored
from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl import direct, tiles
from hetpart.kernels.opencl.blocked import Position, clear_halo, strides
from hetpart.kernels.opencl.conv_parts import convolution_kernel, pack_bias, start_sums, store_sums
from hetpart.kernels.opencl.grid import Grid, item
from hetpart.kernels.opencl.grouped import Groups
from hetpart.kernels.opencl.stored import Stored
from hetpart.kernels.opencl.text import affine, for_range, indent, vector
from hetpart.kernels.opencl.tiles import Tile
from hetpart.kernels.spec import ConvTransposeSpec


def source(spec: ConvTransposeSpec, device: Device, symbol: str) -> str:
    tile, grid = _tile(spec, device), _grid(spec, device)
    lines, at = _locate(spec, tile)
    row = Position(at.image, at.block, at.row, "0")
    clear = clear_halo(spec.out, row, tile.blocks, 1, spec.out.w)
    if clear and grid.x > 1:
        clear = ["if (get_global_id(0) == 0) {", *indent(clear), "}"]
    body = [
        *grid.guard(device),
        *lines,
        "",
        *start_sums(spec, tile, at),
        "",
        *_contract(spec, tile, at),
        "",
        *store_sums(spec, tile, at, symbol, column_step=spec.strides[1]),
        *clear,
    ]
    reads = Stored(spec.x.dtype).argument("x"), direct.weights(spec).argument("w")
    return convolution_kernel(spec, tile.describe, "transposed convolution", reads, body, symbol)


def launch(spec: ConvTransposeSpec, device: Device) -> Launch:
    return _grid(spec, device).launch(device)


def pack(spec: ConvTransposeSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Weights (group of output blocks, ky, kx, group of the block, channel, output block, lane), and the bias."""
    tile, groups = _tile(spec, device), _groups(spec)
    # (C_in, outputs, kh, kw) -> (C_out, inputs, kh, kw)
    w = constants["w"].astype(np.float32).reshape(spec.group, groups.inputs, groups.outputs, *spec.kernel)
    arranged = groups.arrange(w.transpose(0, 2, 1, 3, 4).reshape(spec.out.c, groups.inputs, *spec.kernel))
    stacked = arranged.reshape(-1, tile.blocks, *arranged.shape[1:])
    packed = as_stored(stacked.transpose(0, 4, 5, 2, 3, 1, 6), spec.x.dtype)
    return (packed, *pack_bias(spec, constants))


def _groups(spec: ConvTransposeSpec) -> Groups:
    if spec.x.c % spec.group or spec.out.c % spec.group or spec.x.block != spec.out.block:
        raise InternalError("kernel-layout", f"cannot convolve {spec.x} to {spec.out} in {spec.group} groups")
    return Groups(spec.x, spec.out, spec.group)


def _phases(spec: ConvTransposeSpec) -> int:
    """Column phases that occur."""
    return min(spec.strides[1], spec.out.w)


def _tile(spec: ConvTransposeSpec, device: Device) -> Tile:
    """A tile whose columns fit into every phase."""
    columns = max(1, spec.out.w // spec.strides[1])
    max_blocks = 1 if spec.group > 1 else tiles.MAX_SUMS
    return tiles.choose(device, spec.out.blocks, spec.out.h, columns, max_blocks, max_rows=1)


def _across(spec: ConvTransposeSpec, tile: Tile) -> int:
    """Tiles that cover the longest phase, which is phase 0."""
    longest = -(-spec.out.w // spec.strides[1])
    return -(-longest // tile.columns)


def _grid(spec: ConvTransposeSpec, device: Device) -> Grid:
    tile = _tile(spec, device)
    return Grid(_across(spec, tile) * _phases(spec), spec.out.h, spec.out.n * spec.out.blocks // tile.blocks)


def _locate(spec: ConvTransposeSpec, tile: Tile) -> tuple[list[str], Position]:
    """Coordinates of the tile's first output pixel; ``start`` is the first pixel's number within its ``phase``."""
    across, phases, stride = _across(spec, tile), _phases(spec), spec.strides[1]
    # image, row and block are those of a map with one tile of columns
    lines, at = tiles.locate(spec.out, Tile(tile.blocks, 1, spec.out.w))
    number = item(0, across * phases)
    pixels = f"({spec.out.w - 1 + stride} - phase) / {stride}"  # of this phase
    phase, start = number, "0"
    if across > 1:
        phase = f"{number} / {across}" if phases > 1 else "0"
        start = f"min({number} % {across} * {tile.columns}, {pixels} - {tile.columns})"
    return [
        *lines,
        f"const int phase = {phase};",
        f"const int start = {start};",
        f"const int column = {affine([('phase', 1), ('start', stride)])};",
    ], Position(at.image, at.block, at.row, "column")


def _contract(spec: ConvTransposeSpec, tile: Tile, at: Position) -> list[str]:
    groups, block = _groups(spec), spec.out.block
    pixels, weights = Stored(spec.x.dtype), direct.weights(spec)
    image, row, column = (stride * block for stride in strides(spec.x))
    (kh, kw), (sy, sx), (dy, dx), (top, left, _, _) = spec.kernel, spec.strides, spec.dilations, spec.pads
    form = vector(block)
    per_tap = groups.most * groups.inputs * tile.blocks
    sticks_out = _sticks_out(spec)

    def tap(ky: str, kx: str) -> list[str]:
        origin = spec.x.halo.top * row + spec.x.halo.left * column
        pixel = [(at.image, image), ("from_row", row), ("from_column", column)]
        first_weight = [(tiles.stack(at, tile), kh * kw * per_tap), (ky, kw * per_tap), (kx, per_tap)]
        lines = [
            f"const int reach = phase + {left} - {affine([(kx, dx)])};",
            *([f"if (reach % {sx} != 0) continue;"] if sx > 1 else []),
            f"const int from_column = start + reach / {sx};",
            pixels.pointer("pixel", "x", pixel, origin),
            weights.pointer("weights", "w", first_weight),
        ]
        if sticks_out:
            lines += [
                f"const int inside{p} = from_column + {p} >= 0 && from_column + {p} < {spec.x.w};"
                for p in range(tile.pixels)
            ]
        body = [f"const {form} w{r} = {weights.read('weights', r)};" for r in range(tile.blocks)]
        for p in range(tile.pixels):
            value = pixels.read("pixel", affine([("channel", 1)], p * column))
            body.append(f"const float x{p} = {f'inside{p} ? {value} : 0.0f' if sticks_out else value};")
            body += [groups.add(f"sum{r}_{p}", f"x{p} * w{r}") for r in range(tile.blocks)]
        body.append(weights.advance("weights", tile.blocks))
        return [*lines, *groups.over_channels(spec.x.rows * spec.x.columns, body)]

    def kernel_row(ky: str) -> list[str]:
        return [
            f"const int down = {affine([(at.row, 1)], top)} - {affine([(ky, dy)])};",
            *([f"if (down % {sy} != 0) continue;"] if sy > 1 else []),
            f"const int from_row = down / {sy};",
            f"if (down < 0 || from_row >= {spec.x.h}) continue;",
            *for_range("kx", "0", str(kw), tap(ky, "kx")),
        ]

    return [*groups.declare(at.block), *for_range("ky", "0", str(kh), kernel_row("ky"))]


def _sticks_out(spec: ConvTransposeSpec) -> bool:
    """Whether some column's window reaches beyond the image."""
    stride = spec.strides[1]
    for phase in range(_phases(spec)):
        pixels = -(-(spec.out.w - phase) // stride)
        for kx in range(spec.kernel[1]):
            first, rest = divmod(phase + spec.pads[1] - kx * spec.dilations[1], stride)
            if rest == 0 and (first < 0 or first + pixels > spec.x.w):
                return True
    return False
