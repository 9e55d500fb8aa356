"""3x3 convolution by Winograd's minimal filtering (see hetpart.kernels.winograd), for tile devices.

A work-item computes a band of rows of patches, alone in its group, in three stages: transform the input (V); then, for
each group of output blocks, multiply by the transformed weights (M), transform the output and apply the steps. V and M
are local memory, which on such a device is ordinary memory that stays in the core's cache. The last patch of a row or
column starts early enough to be whole; rows that it shares with the patch above it, which another item may compute,
are left to that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hetpart.kernels.kernel import Launch
from hetpart.kernels.opencl import steps
from hetpart.kernels.opencl.blocked import Position, clear_halo, index, store
from hetpart.kernels.opencl.conv_parts import convolution_kernel, operands_of, pack_bias
from hetpart.kernels.opencl.grid import item
from hetpart.kernels.opencl.text import AHEAD, affine, const_in, for_range, indent, loop, prefetch, vector
from hetpart.kernels.opencl.winograd_plan import WinogradPlan
from hetpart.kernels.opencl.winograd_transform import input_line, output_line
from hetpart.kernels.spec import ConvSpec
from hetpart.kernels.winograd import TAPS, transform_weights


def source(spec: ConvSpec, plan: WinogradPlan, symbol: str) -> str:
    form = vector(spec.out.block)
    at = Position(item(1, spec.out.n), "block", "row", "column")
    groups = spec.out.blocks // plan.group
    body = [
        f"__local {form} v[{plan.positions * spec.x.blocks * plan.stride}];",
        f"__local {form} m[{plan.positions * plan.group * plan.stride}];",
        # the item's number even where there is one item: with a constant, what PoCL makes of this takes twice as long
        f"const int first = (int)get_global_id(0) * {plan.band};",
        f"const int last = min(first + {plan.band}, {plan.patches[0]});",
        *_transform_input(spec, plan, at),
        *loop(
            "group",
            groups,
            lambda group: [*_multiply(spec, plan, group), *_transform_output(spec, plan, group, at, symbol)],
        ),
    ]
    rows, columns = plan.outputs
    work = (
        f"{plan.band} row(s) of patches of {rows} x {columns} pixels by Winograd's transform, "
        f"{plan.tile.blocks} channel block(s) of {plan.tile.columns} patches at once"
    )
    reads = const_in("x", spec.x.block), const_in("w", spec.out.block)
    return convolution_kernel(spec, work, "convolution", reads, body, symbol)


def launch(spec: ConvSpec, plan: WinogradPlan) -> Launch:
    return Launch((plan.bands, spec.out.n, 1), (1, 1, 1), grouped=True)


def pack(spec: ConvSpec, plan: WinogradPlan, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Transformed weights (group of blocks, position, tile of blocks, input channel, block of the tile, lane); bias."""
    u = transform_weights(constants["w"], plan.outputs, spec.out.blocks * spec.out.block)
    split = plan.group // plan.tile.blocks, plan.tile.blocks, spec.out.block
    parts = u.reshape(plan.positions, spec.x.c, -1, *split).transpose(2, 0, 3, 1, 4, 5)
    return (np.ascontiguousarray(parts.astype(np.float32)), *pack_bias(spec, constants))


def _each_patch(spec: ConvSpec, plan: WinogradPlan, patch: Sequence[str], line_end: Sequence[str] = ()) -> list[str]:
    """`patch` for every patch of the band: ``number`` there, ``row`` and ``column`` of its first output.

    `line_end` follows each row of patches.
    """
    (height, width), out = plan.outputs, spec.out
    inner = [
        f"const int number = (line - first) * {plan.patches[1]} + across;",
        f"const int column = {_start('across', width, out.w)};",
        *patch,
    ]
    across = for_range("across", "0", str(plan.patches[1]), inner)
    return for_range("line", "first", "last", [f"const int row = {_start('line', height, out.h)};", *across, *line_end])


def _start(number: str, size: int, extent: int) -> str:
    """Where piece `number` of `extent`, in pieces of `size`, starts."""
    return f"min({number} * {size}, {extent - size})" if extent % size else f"{number} * {size}"


def _transform_input(spec: ConvSpec, plan: WinogradPlan, at: Position) -> list[str]:
    """V = B' d B, for every input block and patch of the band."""
    height, width = (m + TAPS - 1 for m in plan.outputs)
    form = vector(spec.x.block)
    lines = [f"__global const {form}* d = x + {index(spec.x, at, (0, -spec.pads[0], -spec.pads[1]))};"]
    for j in range(width):
        taps = [f"d{i}_{j}" for i in range(height)]
        reads = ", ".join(f"{tap} = d[{i * spec.x.columns + j}]" for i, tap in enumerate(taps))
        lines.append(f"const {form} {reads};")
        lines += input_line(plan.outputs[0], form, taps, [f"h{i}_{j}" for i in range(height)])
    step = spec.x.blocks * plan.stride
    lines.append(f"__local {form}* to = v + block * {plan.stride} + number;")
    for i in range(height):
        names = [f"v{i}_{j}" for j in range(width)]
        lines += input_line(plan.outputs[1], form, [f"h{i}_{j}" for j in range(width)], names)
        lines.append(" ".join(f"to[{(i * width + j) * step}] = {name};" for j, name in enumerate(names)))
    whole = for_range("block", "0", str(spec.x.blocks), _each_patch(spec, plan, lines))
    return ["", "// V: the input, transformed", *whole]


def _multiply(spec: ConvSpec, plan: WinogradPlan, group: str) -> list[str]:
    """M = U V: for every position a product over the input channels, for the group's blocks."""
    form, lanes, vectors, pixels = vector(spec.out.block), spec.x.block, plan.tile.blocks, plan.tile.columns
    # weights stream, as each is used for few patches: 256 to 256 channels at 14 x 14 take 1.5 times as long without
    step = [prefetch("weights", AHEAD * vectors + r) for r in range(vectors)]
    step += [f"const {form} w{r} = weights[{r}];" for r in range(vectors)]
    for p in range(pixels):
        step.append(f"const float x{p} = from[{affine([('lane', 1)], p * lanes)}];")
        step += [f"sum{r}_{p} += x{p} * w{r};" for r in range(vectors)]
    step.append(f"weights += {vectors};")
    whole, rest = divmod(spec.x.c, lanes)

    def block(k: str) -> list[str]:
        count, declare = str(rest or lanes), []
        if whole and rest:
            count, declare = "lanes", [f"const int lanes = k < {whole} ? {lanes} : {rest};"]
        return [*declare, *for_range("lane", "0", count, step), f"from += {plan.stride * lanes};"]

    def piece(stack: str, number: str) -> list[str]:
        weights = [(group, plan.positions * plan.group), ("position", plan.group), (stack, vectors)]
        target = [("position", plan.group * plan.stride), (stack, vectors * plan.stride), ("p", 1)]
        return [
            f"const int p = {_start(number, pixels, plan.columns) if number != '0' else '0'};",
            f"__global const {form}* weights = w + {affine((name, blocks * spec.x.c) for name, blocks in weights)};",
            f"__local const float* from = (__local const float*)(v + position * {spec.x.blocks * plan.stride} + p);",
            *(
                f"{form} " + ", ".join(f"sum{r}_{p} = ({form})(0.0f)" for p in range(pixels)) + ";"
                for r in range(vectors)
            ),
            *loop("k", whole + (rest > 0), block),
            f"__local {form}* to = m + {affine(target)};",
            *(" ".join(f"to[{r * plan.stride + p}] = sum{r}_{p};" for p in range(pixels)) for r in range(vectors)),
        ]

    pieces, stacks = -(-plan.columns // pixels), plan.group // vectors
    products = loop("stack", stacks, lambda stack: loop("piece", pieces, lambda number: piece(stack, number)))
    return [
        "",
        "// M: for every position of a patch, a product over the input channels",
        *for_range("position", "0", str(plan.positions), products),
    ]


def _transform_output(spec: ConvSpec, plan: WinogradPlan, group: str, at: Position, symbol: str) -> list[str]:
    """Y = A' M A, then bias, steps and halo, for every block of the group."""
    (rows, columns), out, form = plan.outputs, spec.out, vector(spec.out.block)
    height, width = rows + TAPS - 1, columns + TAPS - 1
    step = plan.group * plan.stride
    lines = [f"__local const {form}* from = m + {affine([('r', plan.stride), ('number', 1)])};"]
    for j in range(width):
        taps = [f"m{i}_{j}" for i in range(height)]
        reads = ", ".join(f"{tap} = from[{(i * width + j) * step}]" for i, tap in enumerate(taps))
        lines.append(f"const {form} {reads};")
        lines += output_line(rows, form, taps, [f"h{i}_{j}" for i in range(rows)])
    shared = -out.h % rows if plan.bands > 1 else 0
    operands = operands_of(spec)
    for i in range(rows):
        names = [f"y{i}_{j}" for j in range(columns)]
        stored = output_line(columns, form, [f"h{i}_{j}" for j in range(width)], names)
        for j, name in enumerate(names):
            values = [operand.load(at, (0, i, j)) for operand in operands]
            total = steps.call(symbol, spec.steps, f"{name} + bias" if spec.bias else name, values)
            stored.append(store("out", out, at, total, (0, i, j)))
        lines += [f"if (line < {out.h // rows}) {{", *indent(stored), "}"] if i < shared else stored
    halo = clear_halo(out, Position(at.image, "block", "row", "0"), 1, rows, out.w)
    per_block = [
        f"const int block = {affine([(group, plan.group), ('r', 1)])};",
        *([f"const {form} bias = b[block];"] if spec.bias else []),
        *_each_patch(spec, plan, lines, halo),
    ]
    return ["", "// the output: M, transformed back", *for_range("r", "0", str(plan.group), per_block)]
