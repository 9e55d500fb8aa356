"""Depthwise convolution of quantised maps: a dot product takes four taps of one channel.

Four neighbouring pixels of a row lie side by side in memory, each with one byte per channel of the block. One load
and one permutation turn them into four taps per channel. Taps beyond the kernel's width have zero weights; the input's
halo is wide enough for them to be read (`read_columns`). Dilated kernels load their four pixels one by one.

This is the part of hetpart.kernels.cpu.qconv for which `suits` holds; the specs have been checked there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.graph.layout import Plain
from hetpart.kernels.cpu.dot import GROUP, activations, add_dot
from hetpart.kernels.cpu.emit import Buffer, Expr, decode, flat, range_kernel, zero_halo
from hetpart.kernels.cpu.requantise import finish
from hetpart.kernels.cpu.tiles import each_piece, even_runs
from hetpart.kernels.cpu.vectors import Accumulators, vector
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import QConvSpec

ITEM_PIXELS = 64
"""Pixels of one work item, about: finding the place of an item costs as much as a few dot products."""

UNROLL = 64
"""Dot products in an unrolled loop body, at most."""


def suits(spec: QConvSpec) -> bool:
    """One filter per channel, and blocks that correspond."""
    return spec.depthwise and spec.x.block == spec.out.block


def read_columns(spec: QConvSpec) -> int:
    """Kernel columns that are read, those with zero weights included."""
    columns = spec.kernel[1]
    return -(-columns // GROUP) * GROUP if spec.dilations[1] == 1 else columns


def extent(spec: QConvSpec, isa: Isa) -> int:
    """Images x channel blocks x bands of rows."""
    return spec.out.n * spec.out.blocks * -(-spec.out.h // _band(spec))


def pack(spec: QConvSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Weights (blocks, kh, fours of taps in a row, lanes, 4), what is missing zero; then as `qconv.pack_sums`."""
    from hetpart.kernels.cpu.qconv import pack_sums

    out, (rows, columns) = spec.out, spec.kernel
    w = np.asarray(constants["w"]).reshape(out.c, rows, columns)
    fours = -(-columns // GROUP)
    w = np.pad(w, ((0, out.blocks * out.block - out.c), (0, 0), (0, fours * GROUP - columns)))
    packed = w.reshape(out.blocks, out.block, rows, fours, GROUP).transpose(0, 2, 3, 1, 4)
    return (np.ascontiguousarray(packed), *pack_sums(spec, isa, constants))


def prim_func(spec: QConvSpec, isa: Isa, symbol: str) -> Any:
    """``(x, w, b, scale, out, lo, hi)``."""
    out, lanes = spec.out, spec.out.block
    (rows, columns), channels = spec.kernel, out.blocks * out.block
    fours = -(-columns // GROUP)
    constants = (
        Plain((out.blocks, rows, fours, lanes, GROUP), "int8"), Plain((channels,), "int32"), Plain((channels,))
    )  # fmt: skip
    tiles = even_runs(out.w, max(1, isa.registers // 8))
    band = _band(spec)

    def body(item: Expr, x: Buffer, w: Buffer, b: Buffer, scale: Buffer, result: Buffer) -> None:
        image, block, first = decode(item, (out.n, out.blocks, -(-out.h // band)))
        weights = flat(w, math.prod(constants[0].shape), "int8")
        inputs = flat(x, math.prod(spec.x.physical_shape), spec.x.dtype)

        def tile(y: Expr, column: Expr, pixels: int) -> None:
            acc = Accumulators([lanes], pixels, "int32")
            acc.fill([b[vector(lanes, block * lanes)]])

            def tap_row(kh: Expr) -> None:
                row = spec.x.halo.top - spec.pads[0] + y * spec.strides[0] + kh * spec.dilations[0]
                start = ((image * spec.x.blocks + block) * spec.x.rows + row) * spec.x.columns
                start = T.Bind(start + spec.x.halo.left - spec.pads[1] + column * spec.strides[1])
                for four in range(fours):
                    place = ((block * rows + kh) * fours + four) * lanes * GROUP
                    weight = T.Bind(weights[vector(lanes * GROUP, place)])
                    for p in range(pixels):
                        at = start + p * spec.strides[1] + four * GROUP * spec.dilations[1]
                        taps = _taps(inputs, at, spec, min(GROUP, columns - four * GROUP))
                        native = T.Bind(activations(taps, spec.x.dtype, lanes, isa))
                        acc.set(0, p, add_dot(acc.get(0, p), native, weight, spec.x.dtype, isa))

            if rows * fours * pixels <= UNROLL:
                for kh in range(rows):
                    tap_row(kh)
            else:
                with T.serial(0, rows) as kh:
                    tap_row(kh)
            multiplier = T.Bind(scale[vector(lanes, block * lanes)])
            for p in range(pixels):
                value = finish(acc.get(0, p), multiplier, spec.y, out.dtype)
                place = [image, block, out.halo.top + y, out.halo.left + column + p, vector(lanes)]
                T.buffer_store(result, value, place)

        with T.serial(first * band, T.min(first * band + band, out.h)) as y:
            each_piece(tiles, lambda column, pixels: tile(y, column, pixels))
            zero_halo(result, out, image, block, y)

    return range_kernel(symbol, (spec.x, *constants, out), body)


def _taps(inputs: Buffer, at: Expr, spec: QConvSpec, count: int) -> Expr:
    """The taps from stored pixel `at` on, four per channel in one int32 each; those beyond `count` hold anything."""
    lanes, dilation = spec.x.block, spec.dilations[1]
    if dilation == 1:
        pixels = [inputs[vector(lanes * GROUP, at * lanes)]]
    else:
        pixels = [inputs[vector(lanes, (at + min(i, count - 1) * dilation) * lanes)] for i in range(GROUP)]
    order = [tap * lanes + lane for lane in range(lanes) for tap in range(GROUP)]
    return tirx.reinterpret(f"int32x{lanes}", tirx.Shuffle(pixels, order))


def _band(spec: QConvSpec) -> int:
    return min(spec.out.h, -(-ITEM_PIXELS // spec.out.w))
