"""Mean or maximum over height and width: a work-item or, on SIMT devices, a group per channel block."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetpart.errors import InternalError
from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl import groups, tiles
from hetpart.kernels.opencl.blocked import Position, argument, clear_halo, describe, load, named, store
from hetpart.kernels.opencl.grid import item
from hetpart.kernels.opencl.text import for_range, indent, kernel, literal, vector
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
    comment = [f"{symbol}: {spec.mode} over height and width of x {describe(x)}."]
    arguments = [argument("x", x), argument("out", out, written=True)]
    items = _items(spec, device)
    if items > 1:
        return kernel(symbol, comment, arguments, _by_group(spec, items))
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
    return kernel(symbol, comment, arguments, body)


def _by_group(spec: GlobalPoolSpec, items: int) -> list[str]:
    """All items of a group go over a plane together; the first one stores."""
    x, out, form = spec.x, spec.out, vector(spec.x.block)
    at = Position(f"plane / {out.blocks}", f"plane % {out.blocks}", "0", "0")
    at, names = named(at)
    pixel = load("x", x, Position(at.image, at.block, "y", "x0"))
    pick = "{a} < {b} || isnan({b}) ? {b} : {a}"  # not fmax, which would drop a NaN
    add = f"total = {pick.format(a='total', b='v')};" if spec.mode == "max" else "total += v;"
    body = [f"const int y = i / {x.w};", f"const int x0 = i % {x.w};", f"const {form} v = {pixel};", add]
    value = "total" if spec.mode == "max" else f"total / {literal(x.h * x.w)}"
    return [
        *groups.declare(items, x.block),
        f"const int plane = {item(1, out.n * out.blocks)};",
        *names,
        f"{form} total = ({form})({'-INFINITY' if spec.mode == 'max' else '0.0f'});",
        *groups.sweep(x.h * x.w, 1, items, body),
        *groups.reduce("total", items, pick if spec.mode == "max" else "{a} + {b}"),
        f"if ({groups.LANE} == 0) {{",
        *indent([store("out", out, at, value), *clear_halo(out, at, 1, 1, 1)]),
        "}",
    ]


def launch(spec: GlobalPoolSpec, device: Device) -> Launch:
    items = _items(spec, device)
    if items > 1:
        return groups.launch(items, spec.out.n * spec.out.blocks)
    return tiles.grid(spec.out, _TILE).launch(device)


def pack(spec: GlobalPoolSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return ()


def _items(spec: GlobalPoolSpec, device: Device) -> int:
    return groups.size(device, spec.x.h * spec.x.w)
