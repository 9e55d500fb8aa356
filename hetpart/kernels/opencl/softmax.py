"""Softmax and log-softmax of row-major (outer, length, inner) over the middle axis.

Where inner is 1 a work-item has a contiguous row to itself, or a group has a long one on SIMT devices; otherwise an
item has a few neighbouring columns, as a vector.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl import groups
from hetpart.kernels.opencl.grid import Grid, item
from hetpart.kernels.opencl.plain import RowVectors, partial, reduce, row_pointers, sweep
from hetpart.kernels.opencl.stored import Stored
from hetpart.kernels.opencl.text import affine, for_range, kernel, vector
from hetpart.kernels.spec import SoftmaxSpec


def source(spec: SoftmaxSpec, device: Device, symbol: str) -> str:
    kind = "log-softmax" if spec.log else "softmax"
    comment = [f"{symbol}: {kind} over the middle of {spec.outer} x {spec.length} x {spec.inner}."]
    arguments = [Stored(spec.x.dtype).argument("x"), Stored(spec.out.dtype).argument("out", written=True)]
    items = _items(spec, device)
    if items > 1:
        return kernel(symbol, comment, arguments, _by_group(spec, items))
    grid = _grid(spec, device)
    body = _row(spec, device) if spec.inner == 1 else _columns(spec, device)
    return kernel(symbol, comment, arguments, [*grid.guard(device), *body])


def launch(spec: SoftmaxSpec, device: Device) -> Launch:
    items = _items(spec, device)
    return groups.launch(items, spec.outer) if items > 1 else _grid(spec, device).launch(device)


def pack(spec: SoftmaxSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return ()


def _items(spec: SoftmaxSpec, device: Device) -> int:
    return groups.size(device, spec.length) if spec.inner == 1 else 1


def _by_group(spec: SoftmaxSpec, items: int) -> list[str]:
    """All items of a group take the maximum and the sum of a row together."""
    x, out = Stored(spec.x.dtype), Stored(spec.out.dtype)
    value = x.read("from", "i")
    keep = [] if spec.log else [out.write("to", "i", "e")]
    final = out.write("to", "i", f"{value} - peak - log_total" if spec.log else f"{out.read('to', 'i')} * scale")
    return [
        *groups.declare(items),
        f"const int start = {item(1, spec.outer)} * {spec.length};",
        *row_pointers(spec.x, spec.out, "start"),
        "float peak = -INFINITY;",
        *groups.sweep(spec.length, 1, items, [f"peak = fmax(peak, {value});"]),
        *groups.reduce("peak", items, "fmax({a}, {b})"),
        "float total = 0.0f;",
        *groups.sweep(spec.length, 1, items, [f"const float e = exp({value} - peak);", *keep, "total += e;"]),
        *groups.reduce("total", items, "{a} + {b}"),
        "const float log_total = log(total);" if spec.log else "const float scale = 1.0f / total;",
        *groups.sweep(spec.length, 1, items, [final]),
    ]


def _grid(spec: SoftmaxSpec, device: Device) -> Grid:
    if spec.inner == 1:
        return Grid(spec.outer)
    return Grid(-(-spec.inner // RowVectors.of(device, spec.inner).width), spec.outer)


def _row(spec: SoftmaxSpec, device: Device) -> list[str]:
    vectors = RowVectors.of(device, spec.length)
    width, form = vectors.width, vectors.form
    start = affine([("row", spec.length)])

    def take_max(count: int) -> list[str]:
        target = partial("top", width, count)
        return [f"{target} = fmax({target}, {vectors.load('from', 'i', count, spec.x.dtype)});"]

    def take_sum(count: int) -> list[str]:
        e, target = f"exp({vectors.load('from', 'i', count, spec.x.dtype)} - peak)", partial("sum", width, count)
        if spec.log:
            return [f"{target} += {e};"]
        return [
            f"const {vector(count)} e = {e};",
            vectors.store("e", "to", "i", count, spec.out.dtype),
            f"{target} += e;",
        ]

    def finish(count: int) -> list[str]:
        if spec.log:
            value = f"{vectors.load('from', 'i', count, spec.x.dtype)} - peak - log_total"
        else:
            value = f"{vectors.load('to', 'i', count, spec.out.dtype)} * scale"
        return [vectors.store(value, "to", "i", count, spec.out.dtype)]

    max_lines, peak = reduce("top", width, "fmax")
    sum_lines, total = reduce("sum", width, "+")
    return [
        *vectors.declare(),
        f"const int row = {item(0, spec.outer)};",
        *row_pointers(spec.x, spec.out, start),
        f"{form} top = ({form})(-INFINITY);",
        *sweep(spec.length, width, take_max),
        *max_lines,
        f"const float peak = {peak};",
        f"{form} sum = ({form})(0.0f);",
        *sweep(spec.length, width, take_sum),
        *sum_lines,
        f"const float log_total = log({total});" if spec.log else f"const float scale = 1.0f / {total};",
        *sweep(spec.length, width, finish),
    ]


def _columns(spec: SoftmaxSpec, device: Device) -> list[str]:
    vectors = RowVectors.of(device, spec.inner)
    width, form = vectors.width, vectors.form
    tiles = -(-spec.inner // width)
    column = f"{item(0, tiles)} * {width}" if tiles > 1 else "0"
    if spec.inner % width:  # the last vector starts early, so that it is whole
        column = f"min({column}, {spec.inner - width})"
    start = affine([(item(1, spec.outer), spec.length * spec.inner), ("column", 1)])
    value = vectors.load("from", f"i * {spec.inner}", dtype=spec.x.dtype)
    written = vectors.load("to", f"i * {spec.inner}", dtype=spec.out.dtype)

    def along(body: list[str]) -> list[str]:
        return for_range("i", "0", str(spec.length), body)

    if spec.log:
        accumulate = [f"sum += exp({value} - top);"]
        final = f"{value} - top - log_total"
        closing = f"const {form} log_total = log(sum);"
    else:
        keep = vectors.store("e", "to", f"i * {spec.inner}", dtype=spec.out.dtype)
        accumulate = [f"const {form} e = exp({value} - top);", keep, "sum += e;"]
        final = f"{written} * scale"
        closing = f"const {form} scale = 1.0f / sum;"
    return [
        *vectors.declare(),
        f"const int column = {column};",
        *row_pointers(spec.x, spec.out, start),
        f"{form} top = ({form})(-INFINITY);",
        *along([f"top = fmax(top, {value});"]),
        f"{form} sum = ({form})(0.0f);",
        *along(accumulate),
        closing,
        *along([vectors.store(final, "to", f"i * {spec.inner}", dtype=spec.out.dtype)]),
    ]
