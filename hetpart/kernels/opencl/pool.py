"""Max and average pooling; windows are clipped to the image, so the halo of x is never read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetpart.errors import HetpartError, InternalError
from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl import maps
from hetpart.kernels.opencl.blocked import Position, argument, describe, load, store
from hetpart.kernels.opencl.text import affine, for_range, vector
from hetpart.kernels.spec import PoolSpec


def source(spec: PoolSpec, device: Device, symbol: str) -> str:
    _check(spec)
    form = vector(spec.out.block)
    (kh, kw), (sy, sx) = spec.kernel, spec.strides

    def compute(at: Position) -> list[str]:
        x = affine([("x0", 1), ("kx", spec.dilations[1])])
        pixel = load("x", spec.x, Position(at.image, at.block, "y", "x1"))
        if spec.mode == "max":
            first, value = "-INFINITY", "total"
            # not fmax, which would drop a NaN
            add = "total = total < v || isnan(v) ? v : total;"
        else:
            first, value, add = "0.0f", f"total / (float)({_counted(spec)})", "total += v;"
        taps = for_range("kx", "kx0", "kx1", [f"const int x1 = {x};", f"const {form} v = {pixel};", add])
        return [
            *_window("y0", "ky", at.row, spec, 0),
            *_window("x0", "kx", at.column, spec, 1),
            f"{form} total = ({form})({first});",
            *for_range("ky", "ky0", "ky1", [f"const int y = {affine([('y0', 1), ('ky', spec.dilations[0])])};", *taps]),
            store("out", spec.out, at, value),
        ]

    comment = [
        f"{symbol}: {spec.mode} pooling, {kh} x {kw}, stride {sy} x {sx}, pads {', '.join(map(str, spec.pads))}.",
        f"x {describe(spec.x)}, out {describe(spec.out)}.",
    ]
    return maps.source(
        symbol, comment, [argument("x", spec.x), argument("out", spec.out, written=True)], spec.out, device, compute
    )


def launch(spec: PoolSpec, device: Device) -> Launch:
    return maps.launch(spec.out, device)


def pack(spec: PoolSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return ()


def _check(spec: PoolSpec) -> None:
    if spec.mode not in ("max", "average"):
        raise InternalError("kernel-spec", f"unknown pooling mode {spec.mode!r}")
    if (spec.x.n, spec.x.c, spec.x.block) != (spec.out.n, spec.out.c, spec.out.block):
        raise InternalError("kernel-layout", f"pooling cannot go from {spec.x} to {spec.out}")
    for axis, length in enumerate((spec.out.h, spec.out.w)):
        size = (spec.x.h, spec.x.w)[axis]
        for number in range(length):
            start = number * spec.strides[axis] - spec.pads[axis]
            if not any(0 <= start + k * spec.dilations[axis] < size for k in range(spec.kernel[axis])):
                raise HetpartError(
                    "empty-window",
                    f"pooling window {number} along axis {axis + 2} lies wholly outside of the image",
                    hint="the pads or ceil_mode reach beyond the image by a whole kernel; reduce them",
                )


def _window(start: str, tap: str, at: str, spec: PoolSpec, axis: int) -> list[str]:
    """Declarations of a window's `start` and of the taps ``<tap>0`` .. ``<tap>1`` - 1 that lie on the image."""
    kernel, dilation = spec.kernel[axis], spec.dilations[axis]
    size = (spec.x.h, spec.x.w)[axis]
    return [
        f"const int {start} = {affine([(at, spec.strides[axis])], -spec.pads[axis])};",
        f"const int {tap}0 = max(0, {_steps(f'-{start}', dilation)});",
        f"const int {tap}1 = min({kernel}, {_steps(f'{size} - {start}', dilation)});",
    ]


def _steps(distance: str, dilation: int) -> str:
    """Taps needed to come at least `distance` far, for a distance above -`dilation`."""
    return distance if dilation == 1 else f"({distance} + {dilation - 1}) / {dilation}"


def _counted(spec: PoolSpec) -> str:
    """The number of taps by which an average divides: those on the image, or also those on the declared pads."""
    if not spec.include_pad:
        return "(ky1 - ky0) * (kx1 - kx0)"
    counts = [
        f"min({spec.kernel[axis]}, {_steps(f'{size + spec.pads[axis + 2]} - {start}', spec.dilations[axis])})"
        for axis, (size, start) in enumerate(((spec.x.h, "y0"), (spec.x.w, "x0")))
    ]
    return " * ".join(counts)
