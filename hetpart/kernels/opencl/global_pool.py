"""Mean or maximum over height and width: one work-item per channel block."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetpart.errors import InternalError
from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl import tiles
from hetpart.kernels.opencl.blocked import Position, argument, clear_halo, describe, load, store
from hetpart.kernels.opencl.text import for_range, kernel, literal, vector
from hetpart.kernels.opencl.tiles import Tile
from hetpart.kernels.spec import GlobalPoolSpec

_TILE = Tile(1, 1, 1)


def source(spec: GlobalPoolSpec, device: Device, symbol: str) -> str:
    x, out = spec.x, spec.out
    if spec.mode not in ("max", "average"):
        raise InternalError("kernel-spec", f"unknown pooling mode {spec.mode!r}")
    if (x.n, x.c, x.block) != (out.n, out.c, out.block) or (out.h, out.w) != (1, 1):
        raise InternalError("kernel-layout", f"global pooling cannot go from {x} to {out}")
    form = vector(x.block)
    lines, at = tiles.locate(out, _TILE)
    pixel = load("x", x, Position(at.image, at.block, "y", "x0"))
    if spec.mode == "max":
        # not fmax, which would drop a NaN
        take = [f"const {form} v = {pixel};", "total = total < v || isnan(v) ? v : total;"]
        work = for_range("y", "0", str(x.h), for_range("x0", "0", str(x.w), take))
        first, value = "-INFINITY", "total"
    else:
        # sums of rows first: one long chain of additions would lose digits
        across = for_range("x0", "0", str(x.w), [f"row_sum += {pixel};"])
        row = [f"{form} row_sum = ({form})(0.0f);", *across, "total += row_sum;"]
        work = for_range("y", "0", str(x.h), row)
        first, value = "0.0f", f"total / {literal(x.h * x.w)}"
    body = [
        *tiles.grid(out, _TILE).guard(device),
        *lines,
        f"{form} total = ({form})({first});",
        *work,
        store("out", out, at, value),
        *clear_halo(out, at, 1, 1, 1),
    ]
    comment = [f"{symbol}: {spec.mode} over height and width of x {describe(x)}."]
    return kernel(symbol, comment, [argument("x", x), argument("out", out, written=True)], body)


def launch(spec: GlobalPoolSpec, device: Device) -> Launch:
    return tiles.grid(spec.out, _TILE).launch(device)


def pack(spec: GlobalPoolSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return ()
