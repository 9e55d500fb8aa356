"""What kernels of convolutions have around their products: comment, arguments, sums that start at the bias, steps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetpart.kernels.opencl import steps
from hetpart.kernels.opencl.blocked import Operand, Position, argument, describe, store
from hetpart.kernels.opencl.text import affine, const_in, kernel, vector
from hetpart.kernels.opencl.tiles import Tile
from hetpart.kernels.spec import ConvSpec, ConvTransposeSpec


def convolution_kernel(
    spec: ConvSpec | ConvTransposeSpec, work: str, kind: str, reads: tuple[str, str], body: list[str], symbol: str
) -> str:
    """The kernel around `body`: comment, steps function and arguments.

    Args:
        work: what a work-item computes, in words.
        reads: declarations of x and the weights.
    """
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
        f"A work-item computes {work}.",
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
