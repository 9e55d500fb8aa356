"""Row-major concatenation. Each input is a run of contiguous elements for every index before the axis."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hetpart.errors import InternalError
from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl.elements import element_type
from hetpart.kernels.opencl.grid import Grid, item
from hetpart.kernels.opencl.text import affine, indent, kernel
from hetpart.kernels.spec import ConcatSpec


def source(spec: ConcatSpec, device: Device, symbol: str) -> str:
    runs = _runs(spec)
    if sum(runs) != math.prod(spec.out.shape[spec.axis :]) or any(x.dtype != spec.out.dtype for x in spec.xs):
        raise InternalError("kernel-layout", f"{spec.xs} do not make up {spec.out}")
    grid = _grid(spec, device)
    form = element_type(spec.out.dtype)
    body = [*grid.guard(device), f"const int outer = {item(1, grid.y)};"]
    start = 0
    for number, run in enumerate(runs):
        target = affine([("outer", sum(runs)), ("i", 1)], start)
        body += [
            f"for (int i = {item(0, grid.x)}; i < {run}; i += {grid.x})",
            *indent([f"out[{target}] = x{number}[{affine([('outer', run), ('i', 1)])}];"]),
        ]
        start += run
    comment = [f"{symbol}: concatenates {len(runs)} tensors along axis {spec.axis} to {spec.out.shape}."]
    arguments = [
        *(f"__global const {form}* restrict x{number}" for number in range(len(runs))),
        f"__global {form}* restrict out",
    ]
    return kernel(symbol, comment, arguments, body)


def launch(spec: ConcatSpec, device: Device) -> Launch:
    return _grid(spec, device).launch(device)


def pack(spec: ConcatSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return ()


def _runs(spec: ConcatSpec) -> list[int]:
    """Contiguous elements of each input."""
    return [math.prod(x.shape[spec.axis :]) for x in spec.xs]


def _grid(spec: ConcatSpec, device: Device) -> Grid:
    across = 1 if device.tile_items else max(_runs(spec))
    return Grid(across, math.prod(spec.out.shape[: spec.axis]))
