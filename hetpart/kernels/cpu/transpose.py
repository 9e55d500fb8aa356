"""Permutation of a row-major tensor of any dtype.

The loops are collapsed first. Where the innermost output axis is also innermost in x, runs are copied. Otherwise two
axes trade places: the output axis along which x is contiguous and the innermost one; they are walked in square tiles,
so that each cache line is read and written once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.kernels.cpu.emit import Buffer, Expr, decode, flat, range_kernel, storage_dtype
from hetpart.kernels.cpu.runs import copy_run
from hetpart.kernels.cpu.strided import Nest, collapse, for_each_run
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import TransposeSpec
from hetpart.kernels.strides import row_major_strides

TILE = 16
"""Side of a tile: one cache line of float32."""

BAND = 256
"""Positions of the innermost output axis that one work item does, tile by tile."""


def extent(spec: TransposeSpec, isa: Isa) -> int:
    """Work items of the run copy, or bands of tiles."""
    nest = _nest(spec)
    return nest.items if _keeps_runs(nest) else math.prod(_bands(nest))


def pack(spec: TransposeSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """A permutation has no constants."""
    return ()


def prim_func(spec: TransposeSpec, isa: Isa, symbol: str) -> Any:
    """``(x, out, lo, hi)``."""
    x, out = spec.x, spec.out
    if sorted(spec.perm) != list(range(len(x.shape))) or out.shape != tuple(x.shape[p] for p in spec.perm):
        raise InternalError("kernel-layout", f"permutation {spec.perm} does not take {x} to {out}")
    if x.dtype != out.dtype:
        raise InternalError("kernel-layout", f"a permutation keeps the dtype, {x.dtype} is not {out.dtype}")
    nest = _nest(spec)
    dtype = storage_dtype(x.dtype)
    lanes = isa.lanes * 4 // np.dtype(dtype).itemsize

    def body(item: Expr, x: Buffer, out: Buffer) -> None:
        source, target = (
            flat(buffer, math.prod(form.physical_shape), dtype)
            for buffer, form in zip((x, out), (spec.x, spec.out), strict=True)
        )

        def run(offsets: list[Expr], length: Expr) -> None:
            start = T.Bind(offsets[1] + spec.x.start)
            copy_run(target, T.Bind(offsets[0]), source, start, length, nest.share, lanes)

        if _keeps_runs(nest):
            for_each_run(item, nest, run)
        else:
            _copy_band(item, nest, spec.x.start, source, target)

    return range_kernel(symbol, (x, out), body)


def _copy_band(item: Expr, nest: Nest, start: int, source: Buffer, target: Buffer) -> None:
    """`TILE` positions of the axis along which x is contiguous, times `BAND` of the innermost output axis."""
    axis = _contiguous_axis(nest)
    extents, (out_strides, x_strides) = nest.extents, nest.strides
    coordinates = decode(item, _bands(nest))
    coordinates[axis] = coordinates[axis] * TILE
    coordinates[-1] = coordinates[-1] * BAND
    out_offset = T.Bind(sum(c * stride for c, stride in zip(coordinates, out_strides, strict=True)))
    x_offset = T.Bind(start + sum(c * stride for c, stride in zip(coordinates, x_strides, strict=True)))
    height = T.Bind(T.min(TILE, extents[axis] - coordinates[axis]))
    band = T.Bind(T.min(BAND, extents[-1] - coordinates[-1]))
    with T.serial(0, (band + TILE - 1) // TILE) as tile:
        first = T.Bind(tile * TILE)
        width = T.Bind(T.min(TILE, band - first))
        with T.serial(0, height) as row, T.serial(0, width) as column:
            value = source[x_offset + row + (first + column) * x_strides[-1]]
            T.buffer_store(target, value, [out_offset + row * out_strides[axis] + first + column])


def _nest(spec: TransposeSpec) -> Nest:
    strides = spec.x.strides
    return collapse(spec.out.shape, (row_major_strides(spec.out.shape), [strides[p] for p in spec.perm]))


def _keeps_runs(nest: Nest) -> bool:
    return nest.strides[1][-1] <= 1


def _contiguous_axis(nest: Nest) -> int:
    return nest.strides[1].index(1)


def _bands(nest: Nest) -> list[int]:
    """Work items per loop: the contiguous axis is cut into tiles, the innermost one into bands."""
    bands = list(nest.extents)
    axis = _contiguous_axis(nest)
    bands[axis] = -(-bands[axis] // TILE)
    bands[-1] = -(-bands[-1] // BAND)
    return bands
