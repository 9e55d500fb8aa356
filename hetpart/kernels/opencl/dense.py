"""Dense layers: row-major x times constant weights, which are packed so that every work-item streams its own."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hetpart.errors import InternalError
from hetpart.kernels.half import as_stored
from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl import steps
from hetpart.kernels.opencl.gemm import GemmTile
from hetpart.kernels.opencl.plain import RowOperand
from hetpart.kernels.opencl.stored import Stored
from hetpart.kernels.opencl.text import affine, const_in, kernel
from hetpart.kernels.spec import DenseSpec


def source(spec: DenseSpec, device: Device, symbol: str) -> str:
    if math.prod(spec.x.shape) != spec.m * spec.k or math.prod(spec.out.shape) != spec.m * spec.n:
        raise InternalError("kernel-layout", f"a {spec.m} x {spec.k} x {spec.n} product cannot make {spec.out}")
    tile = _tile(spec, device)
    operands = [
        RowOperand.of(f"operand{i}", form.shape, spec.out.shape, dtype=form.dtype)
        for i, form in enumerate(spec.operands)
    ]
    x = Stored(spec.x.dtype)
    form, w = tile.form.form, Stored(spec.weights, tile.width)
    # in vectors, as `pack` lays them out: from tile to tile, and from one k to the next
    first, advance = tile.vectors, tile.across * tile.vectors
    if device.tile_items:
        first, advance = spec.k * tile.vectors, tile.vectors
    body = [
        *tile.grid().guard(device),
        *tile.locate(),
        "",
        *tile.declare(lambda v: f"b[{affine([('stripe', tile.vectors)], v)}]" if spec.bias else f"({form})(0.0f)"),
        x.pointer("from", "x", [("row", spec.k)]),
        w.pointer("weights", "w", [("stripe", first)]),
        *tile.multiply(spec.k, lambda v: w.read("weights", v), w.advance("weights", advance)),
        *tile.store(symbol, spec.steps, operands, "row"),
    ]
    bias = ", plus bias" if spec.bias else ""
    comment = [
        f"{symbol}: ({spec.m} x {spec.k}) times ({spec.k} x {spec.n}){bias}{steps.describe(spec.steps)}.",
        f"A work-item computes {tile.rows} row(s) of {tile.columns} columns.",
    ]
    arguments = [
        x.argument("x"),
        *(operand.argument for operand in operands),
        w.argument("w"),
        *([const_in("b", tile.width)] if spec.bias else []),
        Stored(spec.out.dtype).argument("out", written=True),
    ]
    return kernel(symbol, comment, arguments, body, steps.function(symbol, spec.steps, tile.width))


def launch(spec: DenseSpec, device: Device) -> Launch:
    return _tile(spec, device).grid().launch(device)


def pack(spec: DenseSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Weights and bias (tile, columns); the last tile overlaps its neighbour if n needs it.

    Weights are (tile, k, columns) on tile devices, where an item streams its own, and (k, tile, columns) on SIMT
    devices, where neighbouring items read neighbouring vectors.
    """
    tile = _tile(spec, device)
    starts = [min(number * tile.columns, spec.n - tile.columns) for number in range(tile.across)]
    w = constants["w"].astype(np.float32, copy=False).reshape(spec.k, spec.n)
    pieces = [w[:, start : start + tile.columns] for start in starts]
    weights = as_stored(np.stack(pieces, axis=0 if device.tile_items else 1), spec.weights)
    if not spec.bias:
        return (weights,)
    b = constants["b"].astype(np.float32, copy=False).reshape(spec.n)
    return weights, np.stack([b[start : start + tile.columns] for start in starts])


def _tile(spec: DenseSpec, device: Device) -> GemmTile:
    return GemmTile.choose(device, spec.m, spec.n, 1, spec.x, spec.out)
