"""3x3 convolution by Winograd's minimal filtering: fewer multiply-adds, at the price of transforms.

F(m, 3) computes m outputs of a 3-tap filter from m + 2 inputs with m + 2 products instead of 3m (Lavin and Gray, "Fast
algorithms for convolutional neural networks", https://arxiv.org/abs/1509.09308). In two dimensions, with Y the m x m
outputs of an input patch d under filter g,

    Y = A' [(G g G') * (B' d B)] A      * elementwise, summed over the input channels

so that for each of the (m + 2)^2 positions of a patch there is a matrix product over channels. Rows and columns may
have different m. A band of rows of patches goes through three stages in workspace that stays in the cache: transform
the input (V), multiply by the transformed weights (M), transform the output and apply the epilogue.

A work item is one group of output channels of one band. The input of a band is transformed once per range of items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.graph.layout import Plain
from hetpart.kernels.cpu.emit import Buffer, Expr, decode, kernel, prefetch, workspace, zero_halo
from hetpart.kernels.cpu.packing import pack_bias, pack_tiles
from hetpart.kernels.cpu.steps import is_long, render
from hetpart.kernels.cpu.tiles import divisor, each_piece
from hetpart.kernels.cpu.vectors import Accumulators, operand_vector, vector, zeros
from hetpart.kernels.cpu.winograd_plan import WinogradPlan
from hetpart.kernels.cpu.winograd_transform import input_line, output_line
from hetpart.kernels.spec import ConvSpec
from hetpart.kernels.winograd import transform_weights

UNROLL = 112
"""Multiply-adds in the unrolled body of the innermost loop, about."""

AHEAD = 64
"""Steps of the reduction by which weights are asked for in advance. They stream, as each is used for few patches."""


def extent(spec: ConvSpec, plan: WinogradPlan) -> int:
    """Images x bands x groups of output channels."""
    return spec.x.n * plan.bands * plan.groups


def pack(spec: ConvSpec, plan: WinogradPlan, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Transformed weights, flat, then the bias, if there is one.

    Per group and position of the patch: channel tiles of (input channels, vectors, lanes).
    """
    lanes = spec.out.block
    u = transform_weights(constants["w"], plan.outputs, spec.out.blocks * lanes)
    width = plan.group * lanes
    parts = [
        pack_tiles(u[position, :, group * width : (group + 1) * width], plan.channel_tiles, lanes)
        for group in range(plan.groups)
        for position in range(plan.positions)
    ]
    return (np.concatenate(parts), *pack_bias(constants, spec.out.blocks * lanes))


def prim_func(spec: ConvSpec, plan: WinogradPlan, symbol: str) -> Any:
    """``(x, operands..., u[, b], out, lo, hi)``."""
    constants = [Plain((plan.positions * spec.x.c * spec.out.blocks * spec.out.block,))]
    if spec.bias:
        constants.append(Plain((spec.out.blocks * spec.out.block,)))

    def body(lo: Expr, hi: Expr, *buffers: Buffer) -> None:
        count = len(spec.operands)
        x, operands, u = buffers[0], buffers[1 : 1 + count], buffers[1 + count]
        v = workspace((plan.positions, spec.x.blocks, plan.stride, spec.x.block))
        m = workspace((plan.positions, plan.group, plan.stride, spec.out.block))
        stages = _Stages(spec, plan, x, operands, u, buffers[2 + count] if spec.bias else None, buffers[-1], v, m)
        with T.serial(lo, hi) as item:
            image, band, group = decode(item, (spec.x.n, plan.bands, plan.groups))
            if plan.groups == 1:
                stages.transform_input(image, band)
            else:
                with T.If(T.Or(T.EQ(item, lo), T.EQ(group, 0))), T.Then():
                    stages.transform_input(image, band)
            stages.multiply(group)
            stages.transform_output(image, band, group)

    return kernel(symbol, (spec.x, *spec.operands, *constants, spec.out), body)


@dataclass
class _Stages:
    """The three stages of a band, inside the function under construction."""

    spec: ConvSpec
    plan: WinogradPlan
    x: Buffer
    operands: Sequence[Buffer]
    u: Buffer
    b: Buffer | None
    out: Buffer
    v: Buffer
    m: Buffer

    def _each_patch(self, band: Expr, body: Callable[[Expr, Expr, Expr, int, int], None]) -> None:
        """Emit ``body(number in the band, y, x, rows, columns)`` for every patch; (y, x) is its first output.

        The last patch of a row or column may have fewer outputs within the image: one more copy of the code.
        """
        plan = self.plan
        height, width = plan.outputs
        first = band * plan.band

        def row(line: Expr, rows: int) -> None:
            def patch(column: Expr, columns: int) -> None:
                body((line - first) * plan.patches[1] + column, line * height, column * width, rows, columns)

            full, rest = divmod(self.spec.out.w, width)
            if full:
                with T.serial(0, full) as column:
                    patch(column, width)
            if rest:
                patch(full, rest)

        full, rest = divmod(self.spec.out.h, height)
        with T.serial(first, T.min(first + plan.band, plan.patches[0])) as line:
            if not rest or not full:
                row(line, rest or height)
                return
            with T.If(line < full):
                with T.Then():
                    row(line, height)
                with T.Else():
                    row(line, rest)

    def transform_input(self, image: Expr, band: Expr) -> None:
        """V = B' d B, for every input channel block and patch of the band."""
        spec, plan, x = self.spec, self.plan, self.spec.x
        height, width = plan.outputs
        top, left = x.halo.top - spec.pads[0], x.halo.left - spec.pads[1]

        with T.serial(0, x.blocks) as block:

            def patch(number: Expr, y: Expr, column: Expr, rows: int, columns: int) -> None:
                def element(dy: int, dx: int) -> Expr:
                    if dy >= rows + 2 or dx >= columns + 2:  # reaches no output within the image
                        return zeros(x.block)
                    return T.Bind(self.x[image, block, top + y + dy, left + column + dx, vector(x.block)])

                half = [
                    _bound(input_line(height, [element(dy, dx) for dy in range(height + 2)])) for dx in range(width + 2)
                ]
                for i in range(height + 2):
                    for j, value in enumerate(input_line(width, [line[i] for line in half])):
                        T.buffer_store(self.v, value, [i * (width + 2) + j, block, number, vector(x.block)])

            self._each_patch(band, patch)

    def multiply(self, group: Expr) -> None:
        """M = U V: for every position of the patch a product over the input channels."""
        plan = self.plan
        with T.serial(0, plan.positions) as position:
            each_piece(
                plan.channel_tiles,
                lambda first, vectors: each_piece(
                    plan.columns, lambda p, pixels: self._tile(position, group, first, vectors, p, pixels)
                ),
            )

    def _tile(self, position: Expr, group: Expr, first: Expr, vectors: int, p: Expr, pixels: int) -> None:
        """`vectors` channel blocks from `first` of the group on by `pixels` patches from `p` on."""
        plan, x, lanes = self.plan, self.spec.x, self.spec.out.block
        acc = Accumulators([lanes] * vectors, pixels)
        acc.fill([zeros(lanes)] * vectors)
        base = T.Bind(((group * plan.positions + position) * plan.group + first) * (x.c * lanes))

        def step(block: Expr, lane: Expr) -> None:
            at = base + (block * x.block + lane) * (vectors * lanes)
            for i in range(vectors):
                prefetch(self.u, at + (AHEAD * vectors + i) * lanes)
            weights = [self.u[vector(lanes, at + i * lanes)] for i in range(vectors)]
            acc.rank_one(weights, [self.v[position, block, p + i, lane] for i in range(pixels)])

        unroll = divisor(x.block, UNROLL // (vectors * pixels))
        full, tail = divmod(x.c, x.block)
        if full:
            with T.serial(0, full) as block, T.serial(0, x.block // unroll) as outer:
                for inner in range(unroll):
                    step(block, outer * unroll + inner)
        for lane in range(tail):
            step(full, lane)
        for i in range(vectors):
            for q in range(pixels):
                T.buffer_store(self.m, acc.get(i, q), [position, first + i, p + q, vector(lanes)])

    def transform_output(self, image: Expr, band: Expr, group: Expr) -> None:
        """Y = A' M A, then bias, epilogue and halo, for every channel block of the group."""
        spec, plan, out = self.spec, self.plan, self.spec.out
        height, width = plan.outputs
        with T.serial(0, plan.group) as index:
            block = T.Bind(group * plan.group + index)
            bias = zeros(out.block) if self.b is None else T.Bind(self.b[vector(out.block, block * out.block)])

            def patch(number: Expr, y: Expr, x: Expr, rows: int, columns: int) -> None:
                half = []
                for j in range(width + 2):
                    column = [
                        T.Bind(self.m[i * (width + 2) + j, index, number, vector(out.block)]) for i in range(height + 2)
                    ]
                    half.append(_bound(output_line(height, column)))
                long = is_long(spec.steps)
                for i in range(rows):
                    for j, total in enumerate(output_line(width, [line[i] for line in half])[:columns]):
                        total = total + bias
                        value = total if long else self._finish(T.Bind(total), image, block, y + i, x + j)
                        T.buffer_store(self.out, value, self._place(image, block, y + i, x + j))
                if long:
                    with T.serial(0, rows) as i, T.serial(0, columns) as j:
                        place = self._place(image, block, y + i, x + j)
                        T.buffer_store(
                            self.out, self._finish(self.out[tuple(place)], image, block, y + i, x + j), place
                        )

            self._each_patch(band, patch)
            if out.halo:
                first = T.Bind(band * (plan.band * height))
                with T.serial(first, T.min(first + plan.band * height, out.h)) as y:
                    zero_halo(self.out, out, image, block, y)

    def _place(self, image: Expr, block: Expr, y: Expr, x: Expr) -> list[Expr]:
        out = self.spec.out
        return [image, block, out.halo.top + y, out.halo.left + x, vector(out.block)]

    def _finish(self, total: Expr, image: Expr, block: Expr, y: Expr, x: Expr) -> Expr:
        """The epilogue."""
        spec = self.spec
        return render(
            spec.steps,
            total,
            lambda i: operand_vector(self.operands[i], spec.operands[i], image, block, y, x, spec.out.block),
        )


def _bound(values: Sequence[Expr]) -> list[Expr]:
    return [T.Bind(value) for value in values]
