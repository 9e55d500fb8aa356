"""Normalisation of each (image, channel) plane: an item or, on SIMT devices, a group makes three passes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetpart.errors import InternalError
from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl import groups, steps, tiles
from hetpart.kernels.opencl.blocked import Operand, Position, argument, clear_halo, describe, load, named, store
from hetpart.kernels.opencl.grid import item
from hetpart.kernels.opencl.text import const_in, for_range, kernel, literal, vector
from hetpart.kernels.opencl.tiles import Tile
from hetpart.kernels.spec import InstanceNormSpec


def source(spec: InstanceNormSpec, device: Device, symbol: str) -> str:
    x, out = spec.x, spec.out
    if x.shape != out.shape or x.block != out.block:
        raise InternalError("kernel-layout", f"normalisation cannot go from {x} to {out}")
    form, block = vector(out.block), out.block
    operands = [Operand(layout, out, f"operand{i}") for i, layout in enumerate(spec.operands)]
    comment = [f"{symbol}: instance normalisation{steps.describe(spec.steps)}; {describe(x)}."]
    arguments = [
        argument("x", x),
        *(operand.argument for operand in operands),
        const_in("w", block),
        const_in("b", block),
        argument("out", out, written=True),
    ]
    before = steps.function(symbol, spec.steps, block)
    items = _items(spec, device)
    if items > 1:
        return kernel(symbol, comment, arguments, _by_group(spec, operands, items, symbol), before)
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
    return kernel(symbol, comment, arguments, body, before)


def _by_group(spec: InstanceNormSpec, operands: list[Operand], items: int, symbol: str) -> list[str]:
    """All items of a group go over a plane together, at last over its halo as well."""
    x, out, form = spec.x, spec.out, vector(spec.out.block)
    at, names = named(Position(f"plane / {out.blocks}", f"plane % {out.blocks}", "0", "0"))
    pixel = Position(at.image, at.block, "y", "x0")
    value, area = load("x", x, pixel), literal(x.h * x.w)
    where = [f"const int y = i / {x.w};", f"const int x0 = i % {x.w};"]
    normalised = f"({value} - mean) * factor + b[{at.block}]"
    final = steps.call(symbol, spec.steps, normalised, [operand.load(pixel) for operand in operands])
    stored = [
        f"const int y = i / {out.columns} - {out.halo.top};",
        f"const int x0 = i % {out.columns} - {out.halo.left};",
    ]
    write = store("out", out, pixel, final)
    if out.halo:
        inside = f"y >= 0 && y < {out.h} && x0 >= 0 && x0 < {out.w}"
        zero = store("out", out, pixel, f"({form})(0.0f)")
        stored += [f"if ({inside}) {write}", f"else {zero}"]
    else:
        stored.append(write)
    summed = [*where, f"mean += {value};"]
    squared = [*where, f"const {form} d = {value} - mean;", "variance += d * d;"]
    return [
        *groups.declare(items, x.block),
        f"const int plane = {item(1, out.n * out.blocks)};",
        *names,
        f"{form} mean = ({form})(0.0f);",
        *groups.sweep(x.h * x.w, 1, items, summed),
        *groups.reduce("mean", items, "{a} + {b}"),
        f"mean /= {area};",
        f"{form} variance = ({form})(0.0f);",
        *groups.sweep(x.h * x.w, 1, items, squared),
        *groups.reduce("variance", items, "{a} + {b}"),
        f"const {form} factor = w[{at.block}] / sqrt(variance / {area} + {literal(spec.epsilon)});",
        *groups.sweep(out.rows * out.columns, 1, items, stored),
    ]


def launch(spec: InstanceNormSpec, device: Device) -> Launch:
    items = _items(spec, device)
    if items > 1:
        return groups.launch(items, spec.out.n * spec.out.blocks)
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


def _items(spec: InstanceNormSpec, device: Device) -> int:
    return groups.size(device, spec.x.h * spec.x.w)
