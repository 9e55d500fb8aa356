"""Normalisation of each (image, channel) plane: one work-item per channel block goes over its plane three times."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetpart.errors import InternalError
from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl import steps, tiles
from hetpart.kernels.opencl.blocked import Operand, Position, argument, clear_halo, describe, load, store
from hetpart.kernels.opencl.text import const_in, for_range, kernel, literal, vector
from hetpart.kernels.opencl.tiles import Tile
from hetpart.kernels.spec import InstanceNormSpec


def source(spec: InstanceNormSpec, device: Device, symbol: str) -> str:
    x, out = spec.x, spec.out
    if x.shape != out.shape or x.block != out.block:
        raise InternalError("kernel-layout", f"normalisation cannot go from {x} to {out}")
    form, block = vector(out.block), out.block
    operands = [Operand(layout, out, f"operand{i}") for i, layout in enumerate(spec.operands)]
    plane, at = tiles.locate(out, _tile(spec))
    pixel = Position(at.image, at.block, "y", "x0")
    value = load("x", x, pixel)
    normalised = f"({value} - mean) * factor + b[{at.block}]"
    final = steps.call(symbol, spec.steps, normalised, [operand.load(pixel) for operand in operands])

    def mean_of(name: str, summand: list[str], term: str) -> list[str]:
        """`name`: the mean of `term` over the plane. Sums of rows first: one long chain would lose digits."""
        return [
            f"{form} {name} = ({form})(0.0f);",
            *over_rows([f"{form} row_sum = ({form})(0.0f);", *over_columns([*summand, f"row_sum += {term};"]),
                        f"{name} += row_sum;"]),
            f"{name} /= {literal(x.h * x.w)};",
        ]  # fmt: skip

    def over_rows(body: list[str]) -> list[str]:
        return for_range("y", "0", str(x.h), body)

    def over_columns(body: list[str]) -> list[str]:
        return for_range("x0", "0", str(x.w), body)

    body = [
        *tiles.grid(out, _tile(spec)).guard(device),
        *plane,
        *mean_of("mean", [], value),
        *mean_of("variance", [f"const {form} d = {value} - mean;"], "d * d"),
        f"const {form} factor = w[{at.block}] / sqrt(variance + {literal(spec.epsilon)});",
        *over_rows(over_columns([store("out", out, pixel, final)])),
        *clear_halo(out, at, 1, out.h, out.w),
    ]
    comment = [f"{symbol}: instance normalisation{steps.describe(spec.steps)}; {describe(x)}."]
    arguments = [
        argument("x", x),
        *(operand.argument for operand in operands),
        const_in("w", block),
        const_in("b", block),
        argument("out", out, written=True),
    ]
    return kernel(symbol, comment, arguments, body, steps.function(symbol, spec.steps, block))


def launch(spec: InstanceNormSpec, device: Device) -> Launch:
    return tiles.grid(spec.out, _tile(spec)).launch(device)


def pack(spec: InstanceNormSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Scale and bias in whole blocks."""
    packed = []
    for role in ("scale", "b"):
        whole = np.zeros(spec.out.blocks * spec.out.block, np.float32)
        whole[: spec.out.c] = constants[role].reshape(-1)
        packed.append(whole.reshape(spec.out.blocks, spec.out.block))
    return tuple(packed)


def _tile(spec: InstanceNormSpec) -> Tile:
    return Tile(1, spec.out.h, spec.out.w)
