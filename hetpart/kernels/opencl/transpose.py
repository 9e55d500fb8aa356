"""Row-major permutation of axes. Axes that stay neighbours are treated as one."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hetpart.errors import InternalError
from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl.elements import element_type
from hetpart.kernels.opencl.grid import Grid, item
from hetpart.kernels.opencl.plain import Strided
from hetpart.kernels.opencl.text import affine, for_range, kernel
from hetpart.kernels.spec import TransposeSpec


def source(spec: TransposeSpec, device: Device, symbol: str) -> str:
    walk = _walk(spec)
    grid = _grid(spec, device)
    length, step = walk.extents[-1], walk.strides[-1]
    form = element_type(spec.out.dtype)
    outer = Strided(walk.extents[:-1], walk.strides[:-1])
    read = affine([("i", step)])
    start = f"{spec.x.start} + " if spec.x.start else ""
    copy = [f"out[{affine([('row', length), ('i', 1)])}] = from[{read}];"]
    body = [
        *grid.guard(device),
        f"const int row = {item(1, grid.y)};",
        f"__global const {form}* from = x + {start}{outer.offset('row')};",
        *(
            for_range("i", "0", str(length), copy)
            if device.tile_items
            else [f"const int i = {item(0, grid.x)};", *copy]
        ),
    ]
    comment = [f"{symbol}: permutes the axes of {spec.x.shape} to {spec.perm}: {spec.out.shape}."]
    arguments = [f"__global const {form}* restrict x", f"__global {form}* restrict out"]
    return kernel(symbol, comment, arguments, body)


def launch(spec: TransposeSpec, device: Device) -> Launch:
    return _grid(spec, device).launch(device)


def pack(spec: TransposeSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return ()


def _walk(spec: TransposeSpec) -> Strided:
    """How x is read when out is written in order."""
    shape = spec.x.shape
    if tuple(shape[axis] for axis in spec.perm) != spec.out.shape or spec.x.dtype != spec.out.dtype:
        raise InternalError("kernel-layout", f"{spec.x} permuted by {spec.perm} is not {spec.out}")
    walk = Strided.of(spec.out.shape, tuple(spec.x.strides[axis] for axis in spec.perm))
    return walk if walk.extents else Strided((1,), (1,))


def _grid(spec: TransposeSpec, device: Device) -> Grid:
    length = _walk(spec).extents[-1]
    return Grid(1 if device.tile_items else length, math.prod(spec.out.shape) // length)
