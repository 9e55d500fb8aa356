"""Layer normalisation of row-major rows, with or without the mean: an item or, on SIMT devices, a group per row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl import groups
from hetpart.kernels.opencl.grid import Grid, item
from hetpart.kernels.opencl.plain import RowVectors, partial, reduce, row_pointers, sweep
from hetpart.kernels.opencl.stored import Stored
from hetpart.kernels.opencl.text import affine, const_in, kernel, literal, vector
from hetpart.kernels.spec import LayerNormSpec


def source(spec: LayerNormSpec, device: Device, symbol: str) -> str:
    items = _items(spec, device)
    body = _by_group(spec, items) if items > 1 else _by_item(spec, device)
    kind = "RMS normalisation" if spec.rms else "layer normalisation"
    x, out = Stored(spec.x.dtype).argument("x"), Stored(spec.out.dtype).argument("out", written=True)
    arguments = [x, const_in("w"), *([const_in("b")] if spec.bias else []), out]
    return kernel(symbol, [f"{symbol}: {kind} of {spec.rows} rows of {spec.length}."], arguments, body)


def _by_group(spec: LayerNormSpec, items: int) -> list[str]:
    """All items of a group sum up a row together."""
    x = Stored(spec.x.dtype).read("from", "i")
    value = x if spec.rms else f"({x} - mean)"
    scaled = f"{value} * factor * w[i]"
    total = ["float total = 0.0f;", *groups.sweep(spec.length, 1, items, [f"total += {x};"])]
    mean = [*total, *groups.reduce("total", items, "{a} + {b}"), f"const float mean = total / {literal(spec.length)};"]
    square = [f"const float d = {value};", "squares += d * d;"]
    write = Stored(spec.out.dtype).write
    return [
        *groups.declare(items),
        f"const int start = {item(1, spec.rows)} * {spec.length};",
        *row_pointers(spec.x, spec.out, "start"),
        *([] if spec.rms else mean),
        "float squares = 0.0f;",
        *groups.sweep(spec.length, 1, items, square),
        *groups.reduce("squares", items, "{a} + {b}"),
        f"const float factor = 1.0f / sqrt(squares / {literal(spec.length)} + {literal(spec.epsilon)});",
        *groups.sweep(spec.length, 1, items, [write("to", "i", f"{scaled} + b[i]" if spec.bias else scaled)]),
    ]


def _by_item(spec: LayerNormSpec, device: Device) -> list[str]:
    vectors = RowVectors.of(device, spec.length)
    width, form = vectors.width, vectors.form
    start = affine([("row", spec.length)])

    def value(count: int) -> str:
        loaded = vectors.load("from", "i", count, spec.x.dtype)
        return loaded if spec.rms else f"{loaded} - mean"

    def add(count: int) -> list[str]:
        return [f"{partial('sum', width, count)} += {vectors.load('from', 'i', count, spec.x.dtype)};"]

    def add_square(count: int) -> list[str]:
        return [f"const {vector(count)} d = {value(count)};", f"{partial('squares', width, count)} += d * d;"]

    def finish(count: int) -> list[str]:
        scaled = f"({value(count)}) * factor * {vectors.load('w', 'i', count)}"
        shifted = f"{scaled} + {vectors.load('b', 'i', count)}" if spec.bias else scaled
        return [vectors.store(shifted, "to", "i", count, spec.out.dtype)]

    sum_lines, total = reduce("sum", width, "+")
    square_lines, squares = reduce("squares", width, "+")
    mean = [
        f"{form} sum = ({form})(0.0f);",
        *sweep(spec.length, width, add),
        *sum_lines,
        f"const float mean = {total} / {literal(spec.length)};",
    ]
    return [
        *vectors.declare(),
        *_grid(spec).guard(device),
        f"const int row = {item(0, spec.rows)};",
        *row_pointers(spec.x, spec.out, start),
        *([] if spec.rms else mean),
        f"{form} squares = ({form})(0.0f);",
        *sweep(spec.length, width, add_square),
        *square_lines,
        f"const float factor = 1.0f / sqrt({squares} / {literal(spec.length)} + {literal(spec.epsilon)});",
        *sweep(spec.length, width, finish),
    ]


def launch(spec: LayerNormSpec, device: Device) -> Launch:
    items = _items(spec, device)
    return groups.launch(items, spec.rows) if items > 1 else _grid(spec).launch(device)


def pack(spec: LayerNormSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Scale, and the bias if there is one."""
    roles = ("scale", "b") if spec.bias else ("scale",)
    return tuple(np.ascontiguousarray(constants[role], np.float32).reshape(spec.length) for role in roles)


def _items(spec: LayerNormSpec, device: Device) -> int:
    return groups.size(device, spec.length)


def _grid(spec: LayerNormSpec) -> Grid:
    return Grid(spec.rows)
