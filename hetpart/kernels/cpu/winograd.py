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
from itertools import product
from typing import Any

import numpy as np
from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.graph.layout import Plain
from hetpart.kernels.cpu.emit import Buffer, Expr, decode, kernel, prefetch, starts_line, workspace, zero_halo
from hetpart.kernels.cpu.packing import pack_bias, pack_tiles
from hetpart.kernels.cpu.steps import is_long, render
from hetpart.kernels.cpu.tiles import Run, divisor, each_piece
from hetpart.kernels.cpu.vectors import Accumulators, operand_vector, vector, zeros
from hetpart.kernels.cpu.winograd_plan import WinogradPlan
from hetpart.kernels.cpu.winograd_transform import INPUT_PARTS, OUTPUT_PARTS, input_line, output_line
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

    return kernel(symbol, (spec.x, *spec.operands, *constants, spec.out), body, unrolled=True)


Part = Sequence[int]
"""Rows of a transformed patch that are computed together."""

Parts = Sequence[Part]


@dataclass(frozen=True)
class _Patch:
    """Patch `number` of a band in a channel `block` (of the input, or of the group of output channels).

    (y, x) is its first output; `rows` by `columns` outputs lie within the image.
    """

    block: Expr
    number: Expr
    y: Expr
    x: Expr
    rows: int
    columns: int


PatchBody = Callable[[_Patch, Part], None]


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

    def _each_patch(self, blocks: int, band: Expr, parts: Parts, body: PatchBody) -> None:
        """Emit `body` for every patch of a band in each of `blocks` channel blocks.

        The last patch of a row or column may have fewer outputs within the image: one more copy of the code. Every
        part of every copy is a loop of its own; mixed by LLVM, they would need too many registers. LLVM unrolls a loop
        of two, so where there are so few patches the loop over the channel blocks tells them apart.
        """
        plan, out = self.plan, self.spec.out
        first = band * plan.band
        lines, columns = (
            [run for run in (Run(0, size // m, m), Run(size // m, -(-size // m) - size // m, size % m)) if run.count]
            for size, m in zip((out.h, out.w), plan.outputs, strict=True)
        )
        copies = list(product(parts, lines, columns))

        def loops(block: Expr, part: Part, line_run: Run, column_run: Run) -> None:
            def patch(line: Expr, column: Expr) -> None:
                number = (line - first) * plan.patches[1] + column
                at = _Patch(
                    block, number, line * plan.outputs[0], column * plan.outputs[1], line_run.size, column_run.size
                )
                body(at, part)

            last = T.min(first + plan.band, line_run.start + line_run.count)
            with T.serial(T.max(first, line_run.start), last) as line:
                with T.serial(column_run.start, column_run.start + column_run.count) as column:
                    patch(line, column)

        if plan.patches[1] > 2:
            with T.serial(0, blocks) as block:
                for copy in copies:
                    loops(block, *copy)
        else:
            for copy in copies:
                with T.serial(0, blocks) as block:
                    loops(block, *copy)

    def _parts(self, parts: Mapping[int, Parts]) -> Parts:
        """The parts in which a transform computes its rows: all at once where the registers hold them."""
        height, width = self.plan.outputs
        if self.plan.neon and (height, width) == (4, 4):
            return parts[height]
        return (sorted(i for part in parts[height] for i in part),)

    def transform_input(self, image: Expr, band: Expr) -> None:
        """V = B' d B, for every input channel block and patch of the band."""
        spec, (height, width), x = self.spec, self.plan.outputs, self.spec.x
        top, left = x.halo.top - spec.pads[0], x.halo.left - spec.pads[1]

        def patch(at: _Patch, part: Part) -> None:
            def element(dy: int, dx: int) -> Expr:
                if dy >= at.rows + 2 or dx >= at.columns + 2:  # reaches no output within the image
                    return zeros(x.block)
                return T.Bind(self.x[image, at.block, top + at.y + dy, left + at.x + dx, vector(x.block)])

            half = [
                _bound(input_line(height, [element(dy, dx) for dy in range(height + 2)]), part)
                for dx in range(width + 2)
            ]
            for i in part:
                for j, value in enumerate(input_line(width, [line[i] for line in half])):
                    T.buffer_store(self.v, value, [i * (width + 2) + j, at.block, at.number, vector(x.block)])

        self._each_patch(x.blocks, band, self._parts(INPUT_PARTS), patch)

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

        def inputs(block: Expr, lanes: Sequence[Expr]) -> list[list[Expr]]:
            """Channels `lanes` of a block. Known ones are lanes of one load on NEON (see hetpart.kernels.cpu.conv)."""
            if not plan.neon or not all(isinstance(lane, int) for lane in lanes):
                return [[self.v[position, block, p + i, lane] for i in range(pixels)] for lane in lanes]
            stored = [T.Bind(self.v[position, block, p + i, vector(x.block)]) for i in range(pixels)]
            return [[tirx.Shuffle([value], [lane]) for value in stored] for lane in lanes]

        def step(block: Expr, lane: Expr, number: int, values: Sequence[Expr]) -> None:
            at = base + (block * x.block + lane) * (vectors * lanes)
            for i in range(vectors):
                if starts_line(number * vectors + i, lanes, x.dtype):
                    prefetch(self.u, at + (AHEAD * vectors + i) * lanes)
            weights = [self.u[vector(lanes, at + i * lanes)] for i in range(vectors)]
            acc.rank_one(weights, values)

        unroll = divisor(x.block, UNROLL // (vectors * pixels))
        full, tail = divmod(x.c, x.block)
        if full:
            with T.serial(0, full) as block, T.serial(0, x.block // unroll) as outer:
                some = [outer * unroll + inner for inner in range(unroll)] if unroll < x.block else range(x.block)
                for inner, values in enumerate(inputs(block, some)):
                    step(block, some[inner], inner, values)
        for lane, values in enumerate(inputs(full, range(tail))):
            step(full, lane, lane, values)
        for i in range(vectors):
            for q in range(pixels):
                T.buffer_store(self.m, acc.get(i, q), [position, first + i, p + q, vector(lanes)])

    def transform_output(self, image: Expr, band: Expr, group: Expr) -> None:
        """Y = A' M A, then bias, epilogue and halo, for every channel block of the group."""
        spec, plan, out = self.spec, self.plan, self.spec.out
        height, width = plan.outputs
        long = is_long(spec.steps)

        def patch(at: _Patch, part: Part) -> None:
            block = T.Bind(group * plan.group + at.block)
            bias = zeros(out.block) if self.b is None else T.Bind(self.b[vector(out.block, block * out.block)])
            half = []
            for j in range(width + 2):
                column = [
                    T.Bind(self.m[i * (width + 2) + j, at.block, at.number, vector(out.block)])
                    for i in range(height + 2)
                ]
                half.append(_bound(output_line(height, column), part))
            own = [i for i in part if i < at.rows]
            for i in own:
                for j, total in enumerate(output_line(width, [line[i] for line in half])[: at.columns]):
                    total = total + bias
                    value = total if long else self._finish(T.Bind(total), image, block, at.y + i, at.x + j)
                    T.buffer_store(self.out, value, self._place(image, block, at.y + i, at.x + j))
            if long and own:
                step = own[1] - own[0] if own[1:] else 1
                with T.serial(0, len(own)) as k, T.serial(0, at.columns) as j:
                    y, x = at.y + own[0] + k * step, at.x + j
                    place = self._place(image, block, y, x)
                    T.buffer_store(self.out, self._finish(self.out[tuple(place)], image, block, y, x), place)

        self._each_patch(plan.group, band, self._parts(OUTPUT_PARTS), patch)
        if out.halo:
            first = T.Bind(band * (plan.band * height))
            with T.serial(0, plan.group) as index, T.serial(first, T.min(first + plan.band * height, out.h)) as y:
                zero_halo(self.out, out, image, group * plan.group + index, y)

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
            self.plan.isa,
        )


def _bound(values: Sequence[Expr], part: Part) -> dict[int, Expr]:
    return {i: T.Bind(values[i]) for i in part}
