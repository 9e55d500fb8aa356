"""Elementwise steps on their own, over blocked maps or over row-major tensors with ONNX broadcasting."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked, Plain
from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl import maps, steps
from hetpart.kernels.opencl.blocked import Operand, Position, argument, describe, store
from hetpart.kernels.opencl.grid import Grid, item
from hetpart.kernels.opencl.plain import RowOperand, RowVectors
from hetpart.kernels.opencl.stored import Stored
from hetpart.kernels.opencl.text import for_range, kernel
from hetpart.kernels.spec import EltwiseSpec
from hetpart.kernels.strides import broadcast_strides

VECTORS_PER_ITEM = 1024
"""Of a row-major row, on tile devices: enough work to hide the cost of starting an item."""


def source(spec: EltwiseSpec, device: Device, symbol: str) -> str:
    if isinstance(spec.out, Blocked):
        return _blocked(spec, spec.out, device, symbol)
    return _plain(spec, spec.out, device, symbol)


def launch(spec: EltwiseSpec, device: Device) -> Launch:
    if isinstance(spec.out, Blocked):
        return maps.launch(spec.out, device)
    return _grid(spec, spec.out, device).launch(device)


def pack(spec: EltwiseSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return ()


def _blocked(spec: EltwiseSpec, out: Blocked, device: Device, symbol: str) -> str:
    sources = []
    for name, layout in _named_inputs(spec):
        if not isinstance(layout, Blocked):
            raise InternalError("kernel-layout", f"{layout} among blocked operands")
        sources.append(Operand(layout, out, name))
    x, *operands = sources

    def compute(at: Position) -> list[str]:
        value = steps.call(symbol, spec.steps, x.load(at), [operand.load(at) for operand in operands])
        return [store("out", out, at, value)]

    comment = [f"{symbol}: x{steps.describe(spec.steps)}; {describe(out)}."]
    arguments = [*(source.argument for source in sources), argument("out", out, written=True)]
    before = steps.function(symbol, spec.steps, out.block)
    return maps.source(symbol, comment, arguments, out, device, compute, before)


def _plain(spec: EltwiseSpec, out: Plain, device: Device, symbol: str) -> str:
    rank = _row_rank(spec, out)
    length = _row_length(spec, out)
    vectors = RowVectors.of(device, length)
    width = vectors.width
    count = -(-length // width)
    per_item = _vectors_per_item(device)
    grid = _grid(spec, out, device)
    x, *operands = inputs = [
        RowOperand.of(name, layout.shape, out.shape, rank, layout.dtype) for name, layout in _named_inputs(spec)
    ]

    def compute(number: str) -> list[str]:
        column = number if width == 1 else f"{number} * {width}"
        if length % width:  # the last vector starts early, so that it is whole
            column = f"min({column}, {length - width})"
        values = [operand.load("row", "i", vectors) for operand in operands]
        value = steps.call(symbol, spec.steps, x.load("row", "i", vectors), values)
        target = "i" if grid.y == 1 else f"row * {length} + i"
        return [f"const int i = {column};", vectors.store(value, "out", target, dtype=out.dtype)]

    first = item(0, grid.x)
    body = [*vectors.declare(), *grid.guard(device), f"const int row = {item(1, grid.y)};"]
    if per_item > 1:
        start = "0" if grid.x == 1 else f"{first} * {per_item}"
        stop = str(count) if grid.x == 1 else f"min({start} + {per_item}, {count})"
        body += for_range("v", start, stop, compute("v"))
    else:
        body += compute(first)
    shape = " x ".join(map(str, out.shape)) or "a scalar"
    comment = [f"{symbol}: x{steps.describe(spec.steps)}; {shape}, as {grid.y} row(s) of {length}."]
    arguments = [*(one.argument for one in inputs), Stored(out.dtype).argument("out", written=True)]
    return kernel(symbol, comment, arguments, body, steps.function(symbol, spec.steps, width))


def _named_inputs(spec: EltwiseSpec) -> list[tuple[str, Blocked | Plain]]:
    return [("x", spec.x), *((f"operand{i}", layout) for i, layout in enumerate(spec.operands))]


def _row_rank(spec: EltwiseSpec, out: Plain) -> int:
    """The number of last axes over which every tensor is either contiguous or one value: they are the row."""

    def uniform(shape: tuple[int, ...], rank: int) -> bool:
        axes = list(zip(broadcast_strides(shape, out.shape), out.shape, strict=True))[len(out.shape) - rank :]
        return len({stride > 0 for stride, extent in axes if extent > 1}) <= 1

    shapes = [layout.shape for _, layout in _named_inputs(spec)]
    ranks = range(len(out.shape), 0, -1)
    return next((rank for rank in ranks if all(uniform(shape, rank) for shape in shapes)), 0)


def _row_length(spec: EltwiseSpec, out: Plain) -> int:
    rank = _row_rank(spec, out)
    return math.prod(out.shape[len(out.shape) - rank :])


def _vectors_per_item(device: Device) -> int:
    return VECTORS_PER_ITEM if device.tile_items else 1


def _grid(spec: EltwiseSpec, out: Plain, device: Device) -> Grid:
    length = _row_length(spec, out)
    count = -(-length // RowVectors.of(device, length).width)
    return Grid(-(-count // _vectors_per_item(device)), math.prod(out.shape) // length)
