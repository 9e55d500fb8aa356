"""Convolutions whose output lanes see different input channels: depthwise, and groups narrower than a channel block.

A tile is one output channel block by a few pixels of a row. Every multiply-add takes one vector of inputs with one
channel per output lane: the block itself if depthwise, a permutation of it if groups are as wide in as out and do not
straddle blocks (ResNeXt), and lane by lane otherwise. A work item is a few rows of one channel block.

This is the part of hetpart.kernels.cpu.conv for which `suits` holds; the specs have been checked there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.graph.layout import Plain
from hetpart.kernels.cpu.emit import Buffer, Expr, decode, range_kernel, zero_halo
from hetpart.kernels.cpu.packing import pack_bias
from hetpart.kernels.cpu.steps import render
from hetpart.kernels.cpu.tiles import each_piece, even_runs
from hetpart.kernels.cpu.vectors import Accumulators, operand_vector, vector, zeros
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import ConvSpec

ITEM_PIXELS = 64
"""Pixels of one work item, about: finding the place of an item costs as much as a few multiply-adds."""

UNROLL = 128
"""Multiply-adds in an unrolled loop body, at most."""


def suits(spec: ConvSpec) -> bool:
    """Whether an output block takes inputs of more than one group."""
    return spec.group > 1 and (spec.out.c // spec.group) % spec.out.block != 0


def extent(spec: ConvSpec, isa: Isa) -> int:
    """Images x channel blocks x bands of rows."""
    return spec.out.n * spec.out.blocks * -(-spec.out.h // _band(spec))


def pack(spec: ConvSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Weights (blocks, kh, kw, channels of a group, lanes), spare lanes zero; then the bias."""
    out = spec.out
    w = np.asarray(constants["w"], np.float32)
    w = np.pad(w, ((0, out.blocks * out.block - out.c), (0, 0), (0, 0), (0, 0)))
    packed = w.reshape(out.blocks, out.block, *w.shape[1:]).transpose(0, 3, 4, 2, 1)
    return (np.ascontiguousarray(packed), *pack_bias(constants, out.blocks * out.block))


def prim_func(spec: ConvSpec, isa: Isa, symbol: str) -> Any:
    """``(x, operands..., w[, b], out, lo, hi)``."""
    out = spec.out
    constants = [Plain((out.blocks, *spec.kernel, spec.x.c // spec.group, out.block))]
    if spec.bias:
        constants.append(Plain((out.blocks * out.block,)))
    columns = even_runs(out.w, isa.registers // 4)
    band = _band(spec)

    def body(item: Expr, x: Buffer, *rest: Buffer) -> None:
        operands, rest = rest[: len(spec.operands)], rest[len(spec.operands) :]
        w, b, result = rest[0], rest[1] if spec.bias else None, rest[-1]
        image, block, first = decode(item, (out.n, out.blocks, -(-out.h // band)))

        def tile(y: Expr, column: Expr, pixels: int) -> None:
            acc = Accumulators(1, pixels, out.block)
            for p in range(pixels):
                acc.set(0, p, zeros(out.block) if b is None else b[vector(out.block, block * out.block)])
            _reduce(spec, acc, x, w, image, block, y, column)
            for p in range(pixels):
                value = render(
                    spec.steps,
                    acc.get(0, p),
                    lambda i, at=column + p: operand_vector(  # type: ignore[misc]  # a default cannot be annotated
                        operands[i], spec.operands[i], image, block, y, at, out.block
                    ),
                )
                place = [image, block, out.halo.top + y, out.halo.left + column + p, vector(out.block)]
                T.buffer_store(result, value, place)

        with T.serial(first * band, T.min(first * band + band, out.h)) as y:
            each_piece(columns, lambda column, pixels: tile(y, column, pixels))
            zero_halo(result, out, image, block, y)

    return range_kernel(symbol, (spec.x, *spec.operands, *constants, out), body)


def _band(spec: ConvSpec) -> int:
    return min(spec.out.h, -(-ITEM_PIXELS // spec.out.w))


def _reduce(
    spec: ConvSpec, acc: Accumulators, x: Buffer, w: Buffer, image: Expr, block: Expr, y: Expr, column: Expr
) -> None:
    """Add all products of `acc.pixels` outputs from (y, column) on."""
    channels = spec.x.c // spec.group
    inputs, cost = _lane_inputs(spec, x, image, block)
    left = spec.x.halo.left - spec.pads[1] + column * spec.strides[1]

    def taps(kh: Expr, kw: Expr, j: Expr) -> None:
        row = spec.x.halo.top - spec.pads[0] + y * spec.strides[0] + kh * spec.dilations[0]
        weight = T.Bind(w[block, kh, kw, j, vector(acc.lanes)])
        for p in range(acc.pixels):
            offset = p * spec.strides[1] + kw * spec.dilations[1]
            acc.add_product(0, p, inputs(row, left + offset, j), weight)

    def loop(count: int, inner: int, body: Callable[[Expr], None]) -> None:
        """`count` times `body`, which costs `inner`; unrolled if that is not too much."""
        if count * inner <= UNROLL:
            for i in range(count):
                body(i)
        else:
            with T.serial(0, count) as i:
                body(i)

    per_channel = acc.pixels * cost
    per_column = per_channel * channels
    loop(
        spec.kernel[0],
        per_column * spec.kernel[1],
        lambda kh: loop(
            spec.kernel[1], per_column, lambda kw: loop(channels, per_channel, lambda j: taps(kh, kw, j))
        ),
    )


def _lane_inputs(
    spec: ConvSpec, x: Buffer, image: Expr, block: Expr
) -> tuple[Callable[[Expr, Expr, Expr], Expr], int]:
    """How to read inputs: a function of (stored row, stored column, j), and its cost in instructions.

    The function returns the vector of the j-th input channel of every output lane's group.
    """
    lanes = spec.out.block
    inputs, outputs = spec.x.c // spec.group, spec.out.c // spec.group

    def stored(row: Expr, column: Expr, _: Expr) -> Expr:
        return x[image, block, row, column, vector(lanes)]

    def permuted(row: Expr, column: Expr, j: Expr) -> Expr:
        source = [lane // outputs * inputs + j for lane in range(lanes)]
        return tirx.Shuffle([stored(row, column, j)], source)

    if inputs == outputs and spec.x.block == lanes and lanes % outputs == 0:
        return (stored, 1) if inputs == 1 else (permuted, 1)

    # lanes beyond the last group repeat it, so as not to read beyond the input
    firsts = [
        T.Bind(T.min((block * lanes + lane) // outputs, spec.group - 1) * inputs) for lane in range(lanes)
    ]

    def gathered(row: Expr, column: Expr, j: Expr) -> Expr:
        values = [x[image, (c + j) // spec.x.block, row, column, (c + j) % spec.x.block] for c in firsts]
        return tirx.Shuffle(values, list(range(lanes)))

    return gathered, lanes
