"""Spatial padding (or, with negative pads, cropping) of a blocked map."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetpart.errors import HetpartError, InternalError
from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl import maps
from hetpart.kernels.opencl.blocked import Position, argument, describe, load, store
from hetpart.kernels.opencl.text import affine, literal, vector
from hetpart.kernels.spec import PadSpec


def source(spec: PadSpec, device: Device, symbol: str) -> str:
    x, out = spec.x, spec.out
    _check(spec)
    top, left, _, _ = spec.pads

    def compute(at: Position) -> list[str]:
        pixel = load("x", x, Position(at.image, at.block, "y", "x0"))
        if spec.mode == "constant":
            inside = f"y >= 0 && y < {x.h} && x0 >= 0 && x0 < {x.w}"
            # if, not ?:, whose vector form would read outside of x
            return [
                f"const int y = {affine([(at.row, 1)], -top)};",
                f"const int x0 = {affine([(at.column, 1)], -left)};",
                f"{vector(x.block)} v = ({vector(x.block)})({literal(spec.value)});",
                f"if ({inside}) v = {pixel};",
                store("out", out, at, "v"),
            ]
        return [
            f"int y = {affine([(at.row, 1)], -top)};",
            f"int x0 = {affine([(at.column, 1)], -left)};",
            *_back_inside("y", x.h, spec.mode),
            *_back_inside("x0", x.w, spec.mode),
            store("out", out, at, pixel),
        ]

    comment = [f"{symbol}: {spec.mode} padding of x {describe(x)} by {', '.join(map(str, spec.pads))}."]
    arguments = [argument("x", x), argument("out", out, written=True)]
    return maps.source(symbol, comment, arguments, out, device, compute)


def launch(spec: PadSpec, device: Device) -> Launch:
    return maps.launch(spec.out, device)


def pack(spec: PadSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return ()


def _back_inside(name: str, size: int, mode: str) -> list[str]:
    """Statements that move a coordinate beyond the image to the pixel whose value it takes."""
    if mode == "edge":
        return [f"{name} = clamp({name}, 0, {size - 1});"]
    return [
        f"{name} = {name} < 0 ? -{name} : {name};",
        f"{name} = {name} >= {size} ? {2 * size - 2} - {name} : {name};",
    ]


def _check(spec: PadSpec) -> None:
    x, out = spec.x, spec.out
    top, left, bottom, right = spec.pads
    if spec.mode not in ("constant", "reflect", "edge"):
        raise InternalError("kernel-spec", f"unknown pad mode {spec.mode!r}")
    if (x.n, x.c, x.block) != (out.n, out.c, out.block) or (out.h, out.w) != (x.h + top + bottom, x.w + left + right):
        raise InternalError("kernel-layout", f"padding cannot go from {x} to {out}")
    if spec.mode == "reflect" and (max(top, bottom) >= x.h or max(left, right) >= x.w):
        raise HetpartError(
            "pad-too-wide",
            f"reflect padding by {spec.pads} needs more than the {x.h} x {x.w} image has",
            hint="pads must be smaller than the image; pad in several steps",
        )
