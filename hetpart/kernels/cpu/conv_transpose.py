"""Transposed convolution of blocked maps, as a gather: one output row of one channel block per work item.

An output column x belongs to the phase ``x % stride``; all columns of a phase use the same kernel columns, and
neighbours in a phase read neighbouring input columns. So every phase is a small stride-1 convolution with its own
register tile. Kernel rows are tested per item: a row contributes if it hits a row of the image. The halo of x is not
relied upon: the few columns of a phase whose taps stick out of the image are unrolled with the taps that hit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.graph.layout import Plain
from hetpart.kernels.cpu.emit import (
    Buffer,
    Expr,
    check_blocked_operands,
    locate_row,
    range_kernel,
    registers,
    row_extent,
    zero_halo,
)
from hetpart.kernels.cpu.steps import finish
from hetpart.kernels.cpu.vectors import cast, operand_vector, vector
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import ConvTransposeSpec

LARGEST_TILE = 12
"""Output columns per register tile; each costs an accumulator and a broadcast load per multiplication."""


def extent(spec: ConvTransposeSpec, isa: Isa) -> int:
    """Rows of the output, over all images and channel blocks."""
    return row_extent(spec.out)


def pack(spec: ConvTransposeSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """``w`` as (out blocks, kh, C_in / group, kw, lanes) and ``b`` as (out blocks, lanes); spare lanes are zero."""
    out = spec.out
    ins, outs = spec.x.c // spec.group, out.c // spec.group
    lanes = out.blocks * out.block
    w = np.zeros((spec.kernel[0], ins, spec.kernel[1], lanes), dtype=np.float32)
    grouped = constants["w"].reshape(spec.group, ins, outs, *spec.kernel)
    w[..., : out.c] = grouped.transpose(3, 1, 4, 0, 2).reshape(spec.kernel[0], ins, spec.kernel[1], out.c)
    packed = np.ascontiguousarray(w.reshape(*w.shape[:3], out.blocks, out.block).transpose(3, 0, 1, 2, 4))
    if not spec.bias:
        return (packed,)
    bias = np.zeros(lanes, dtype=np.float32)
    bias[: out.c] = constants["b"].reshape(-1)
    return packed, bias.reshape(out.blocks, out.block)


def prim_func(spec: ConvTransposeSpec, isa: Isa, symbol: str) -> Any:
    """``(x, operands..., w, [b,] out, lo, hi)``."""
    _check(spec)
    out = spec.out
    largest = max(1, min(LARGEST_TILE, (isa.registers - 4) // max(1, out.block // isa.lanes)))

    def body(item: Expr, x: Buffer, *rest: Buffer) -> None:
        operands, (w, *bias, result) = rest[: len(spec.operands)], rest[len(spec.operands) :]
        image, block, y = locate_row(item, out)
        zero_halo(result, out, image, block, y)

        def columns(phase: _Phase, first: Expr, width: int, taps: tuple[int, ...]) -> None:
            """Columns `first` ... `first` + `width` - 1 of a phase, with kernel columns `taps`."""
            acc = registers((width * out.block,))
            with T.unroll(0, width) as q, T.vectorized(0, out.block) as v:
                T.buffer_store(acc, bias[0][block, v] if bias else T.float32(0), [q * out.block + v])
            with T.serial(0, spec.kernel[0]) as kh:
                reach = T.Bind(y + spec.pads[0] - kh * spec.dilations[0])
                row = T.Bind(reach // spec.strides[0])
                hits = T.And(T.EQ(reach % spec.strides[0], 0), T.And(row >= 0, row < spec.x.h))
                with T.If(hits), T.Then(), T.serial(0, spec.x.c // spec.group) as channel:
                    for kw in taps:
                        with T.unroll(0, width) as q, T.vectorized(0, out.block) as v:
                            value = _input(spec, x, image, block, row, first + q + phase.shift(spec, kw), channel, v)
                            old = acc[q * out.block + v]
                            value = cast(value, "float32")
                            T.buffer_store(acc, old + value * w[block, kh, channel, kw, v], [q * out.block + v])
            with T.unroll(0, width) as q:
                column = (first + q) * spec.strides[1] + phase.index
                value = finish(
                    spec.steps,
                    acc[vector(out.block, q * out.block)],
                    lambda i: operand_vector(operands[i], spec.operands[i], image, block, y, column, out.block),
                    out.dtype,
                )
                at = [image, block, out.halo.top + y, out.halo.left + column, vector(out.block)]
                T.buffer_store(result, value, at)

        for phase in _phases(spec):
            for position in [*range(phase.first), *range(phase.last, phase.count)]:
                hitting = tuple(kw for kw in phase.taps if 0 <= position + phase.shift(spec, kw) < spec.x.w)
                columns(phase, position, 1, hitting)
            inner = phase.last - phase.first
            tile = -(-inner // max(1, -(-inner // largest)))  # equal tiles instead of a thin last one
            if inner:
                with T.serial(0, inner // tile) as t:
                    columns(phase, phase.first + t * tile, tile, phase.taps)
                if inner % tile:
                    columns(phase, phase.last - inner % tile, inner % tile, phase.taps)

    constants = [Plain((out.blocks, spec.kernel[0], spec.x.c // spec.group, spec.kernel[1], out.block))]
    if spec.bias:
        constants.append(Plain((out.blocks, out.block)))
    return range_kernel(symbol, (spec.x, *spec.operands, *constants, out), body)


@dataclass(frozen=True)
class _Phase:
    """Output columns ``index + stride * q`` for q in [0, count); all taps hit the image for q in [first, last)."""

    index: int
    count: int
    taps: tuple[int, ...]
    first: int
    last: int

    def shift(self, spec: ConvTransposeSpec, kw: int) -> int:
        """Kernel column `kw` of position q reads input column ``q + shift``."""
        return (self.index + spec.pads[1] - kw * spec.dilations[1]) // spec.strides[1]


def _phases(spec: ConvTransposeSpec) -> list[_Phase]:
    stride = spec.strides[1]
    phases = []
    for index in range(min(stride, spec.out.w)):
        count = -(-(spec.out.w - index) // stride)
        reach = [index + spec.pads[1] - kw * spec.dilations[1] for kw in range(spec.kernel[1])]
        taps = tuple(kw for kw, r in enumerate(reach) if r % stride == 0)
        shifts = [reach[kw] // stride for kw in taps]
        first = min(count, max(0, -min(shifts, default=0)))
        last = max(first, min(count, spec.x.w - max(shifts))) if shifts else count
        phases.append(_Phase(index, count, taps, first, last))
    return phases


def _input(
    spec: ConvTransposeSpec,
    x: Buffer,
    image: Expr,
    block: Expr,
    row: Expr,
    column: Expr,
    channel: Expr,
    lane: Expr,
) -> Expr:
    """The input that output lane `lane` of `block` multiplies for input channel `channel` of its group.

    One value for all lanes where a block lies within a group; else lanes read their own groups' channels.
    """
    x_map, out = spec.x, spec.out
    ins, outs = x_map.c // spec.group, out.c // spec.group
    row, column = x_map.halo.top + row, x_map.halo.left + column
    if ins == outs == 1 and x_map.block == out.block:
        return x[image, block, row, column, lane]
    if spec.group == 1:
        group: Expr = 0
    elif outs % out.block == 0:
        group = block // (outs // out.block)
    else:
        group = T.min((block * out.block + lane) // outs, spec.group - 1)  # spare lanes stay within x
    k = group * ins + channel
    return x[image, k // x_map.block, row, column, k % x_map.block]


def _check(spec: ConvTransposeSpec) -> None:
    x, out = spec.x, spec.out
    if x.n != out.n or x.c % spec.group or out.c % spec.group:
        raise InternalError("kernel-layout", f"{spec.group} groups do not take {x} to {out}")
    check_blocked_operands(out, spec.operands)
