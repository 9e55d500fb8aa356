"""Convolutions: what all three kinds share, which is everything but the sum itself.

One work-item computes a register tile: named vector sums start at the bias, a contraction adds to them, and the steps
follow when they are stored. The contractions are `direct` (whole channel blocks belong to one group), `depthwise`
(channel k of the output reads channel k of the input) and `grouped` (any other grouping); `direct_image` is `direct`
where the input is an image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from hetpart.errors import InternalError
from hetpart.graph.layout import Image
from hetpart.kernels.kernel import Device, Launch, Packed
from hetpart.kernels.opencl import depthwise, direct, direct_image, grouped, steps, tiles
from hetpart.kernels.opencl.blocked import Operand, Position, argument, clear_halo, describe, store
from hetpart.kernels.opencl.text import affine, const_in, kernel, vector
from hetpart.kernels.opencl.tiles import Tile
from hetpart.kernels.spec import ConvSpec, ConvTransposeSpec


class Contraction(Protocol):
    """A module that adds up one kind of convolution."""

    def tile(self, spec: ConvSpec, device: Device) -> Tile:
        """The register tile of one work-item."""

    def x_argument(self, spec: ConvSpec, device: Device) -> str:
        """Declaration of x: vectors of a pixel's whole block, single lanes, or an image."""

    def w_argument(self, spec: ConvSpec, device: Device, tile: Tile) -> str:
        """Declaration of the weights."""

    def contract(self, spec: ConvSpec, device: Device, tile: Tile, at: Position) -> list[str]:
        """Statements that add the products to ``sum<block>_<pixel>``."""

    def pack(self, spec: ConvSpec, device: Device, tile: Tile, w: np.ndarray) -> Packed:
        """The weights in the order in which `contract` reads them."""


def source(spec: ConvSpec, device: Device, symbol: str) -> str:
    method = _contraction(spec)
    tile = method.tile(spec, device)
    lines, at = tiles.locate(spec.out, tile)
    body = [
        *tiles.grid(spec.out, tile).guard(device),
        *lines,
        "",
        *start_sums(spec, tile, at),
        "",
        *method.contract(spec, device, tile, at),
        "",
        *store_sums(spec, tile, at, symbol),
        *clear_halo(spec.out, at, tile.blocks, tile.rows, tile.columns),
    ]
    kind = "depthwise " if spec.depthwise else ""
    reads = method.x_argument(spec, device), method.w_argument(spec, device, tile)
    return convolution_kernel(spec, tile, f"{kind}convolution", reads, body, symbol)


def launch(spec: ConvSpec, device: Device) -> Launch:
    return tiles.grid(spec.out, _contraction(spec).tile(spec, device)).launch(device)


def pack(spec: ConvSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[Packed, ...]:
    method = _contraction(spec)
    weights = method.pack(spec, device, method.tile(spec, device), constants["w"].astype(np.float32))
    return (weights, *pack_bias(spec, constants))


def _contraction(spec: ConvSpec) -> Contraction:
    if spec.x.c % spec.group or spec.out.c % spec.group or (spec.group > 1 and spec.x.block != spec.out.block):
        raise InternalError("kernel-layout", f"cannot convolve {spec.x} to {spec.out} in {spec.group} groups")
    if spec.depthwise:
        return depthwise
    block = spec.out.block
    if spec.group == 1 or not (spec.x.c // spec.group % block or spec.out.c // spec.group % block):
        return direct_image if isinstance(spec.x, Image) else direct
    if any(isinstance(form, Image) or form.dtype != "float32" for form in (spec.x, spec.out)):
        raise InternalError("kernel-layout", f"groups within channel blocks are read from buffers, not from {spec.x}")
    return grouped


def convolution_kernel(
    spec: ConvSpec | ConvTransposeSpec, tile: Tile, kind: str, reads: tuple[str, str], body: list[str], symbol: str
) -> str:
    """The kernel around `body`: comment, steps function and arguments; `reads` declares x and the weights."""
    block = spec.out.block
    operands = operands_of(spec)
    (kh, kw), (sy, sx) = spec.kernel, spec.strides
    details = "".join(
        text
        for wanted, text in [
            (spec.dilations != (1, 1), f", dilation {spec.dilations[0]} x {spec.dilations[1]}"),
            (spec.group > 1, f", {spec.group} groups"),
            (spec.bias, ", plus bias"),
        ]
        if wanted
    )
    comment = [
        f"{symbol}: {kh} x {kw} {kind}, stride {sy} x {sx}{details}{steps.describe(spec.steps)}.",
        f"x {describe(spec.x)}, out {describe(spec.out)}.",
        f"A work-item computes {tile.blocks} channel block(s) of {tile.rows} x {tile.columns} pixels.",
    ]
    arguments = [
        reads[0],
        *(operand.argument for operand in operands),
        reads[1],
        *([const_in("b", block)] if spec.bias else []),
        argument("out", spec.out, written=True),
    ]
    return kernel(symbol, comment, arguments, body, steps.function(symbol, spec.steps, block))


def operands_of(spec: ConvSpec | ConvTransposeSpec) -> list[Operand]:
    return [Operand(layout, spec.out, f"operand{i}") for i, layout in enumerate(spec.operands)]


def start_sums(spec: ConvSpec | ConvTransposeSpec, tile: Tile, at: Position) -> list[str]:
    """Declarations of the sums ``sum<block>_<pixel>``, which start at the bias."""
    form = vector(spec.out.block)
    lines = []
    for block in range(tile.blocks):
        start = f"b[{affine([(at.block, 1)], block)}]" if spec.bias else f"({form})(0.0f)"
        lines.append(f"const {form} start{block} = {start};")
        lines.append(f"{form} " + ", ".join(f"sum{block}_{p} = start{block}" for p in range(tile.pixels)) + ";")
    return lines


def store_sums(
    spec: ConvSpec | ConvTransposeSpec, tile: Tile, at: Position, symbol: str, column_step: int = 1
) -> list[str]:
    """Statements that apply the steps to the sums and store them. Pixels lie `column_step` columns apart."""
    operands = operands_of(spec)
    lines = []
    for block in range(tile.blocks):
        for pixel, row, column in tile.each_pixel():
            shift = (block, row, column * column_step)
            values = [operand.load(at, shift) for operand in operands]
            value = steps.call(symbol, spec.steps, f"sum{block}_{pixel}", values)
            lines.append(store("out", spec.out, at, value, shift))
    return lines


def pack_bias(spec: ConvSpec | ConvTransposeSpec, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """The bias in whole blocks, or nothing."""
    if not spec.bias:
        return ()
    bias = np.zeros(spec.out.blocks * spec.out.block, np.float32)
    bias[: spec.out.c] = constants["b"].reshape(-1)
    return (bias.reshape(spec.out.blocks, spec.out.block),)
