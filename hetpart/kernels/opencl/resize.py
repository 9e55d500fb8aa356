"""Nearest and bilinear resizing of a blocked map; source coordinates are tables in constant memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hetpart.errors import InternalError
from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl import maps
from hetpart.kernels.opencl.blocked import Position, argument, describe, load, store
from hetpart.kernels.opencl.text import INDENT, literal, vector
from hetpart.kernels.spec import ResizeSpec

_PER_LINE = 16


def source(spec: ResizeSpec, device: Device, symbol: str) -> str:
    x, out = spec.x, spec.out
    if (x.n, x.c, x.block) != (out.n, out.c, out.block) or (len(spec.rows), len(spec.columns)) != (out.h, out.w):
        raise InternalError("kernel-layout", f"resizing cannot go from {x} to {out}")
    if spec.mode not in ("nearest", "linear"):
        raise InternalError("kernel-spec", f"unknown resize mode {spec.mode!r}")
    form = vector(out.block)

    def compute(at: Position) -> list[str]:
        def pixel(y: str, column: str) -> str:
            return load("x", x, Position(at.image, at.block, y, column))

        lines = [f"const int y0 = {symbol}_row[{at.row}];", f"const int x0 = {symbol}_column[{at.column}];"]
        if spec.mode == "nearest":
            return [*lines, store("out", out, at, pixel("y0", "x0"))]
        down, right = f"{symbol}_row_weight[{at.row}]", f"{symbol}_column_weight[{at.column}]"
        return [
            *lines,
            f"const int y1 = {symbol}_next_row[{at.row}];",
            f"const int x1 = {symbol}_next_column[{at.column}];",
            f"const {form} upper = mix({pixel('y0', 'x0')}, {pixel('y0', 'x1')}, {right});",
            f"const {form} lower = mix({pixel('y1', 'x0')}, {pixel('y1', 'x1')}, {right});",
            store("out", out, at, f"mix(upper, lower, {down})"),
        ]

    comment = [f"{symbol}: {spec.mode} resize of x {describe(x)}, out {out.h} x {out.w}."]
    arguments = [argument("x", x), argument("out", out, written=True)]
    return maps.source(symbol, comment, arguments, out, device, compute, _tables(spec, symbol))


def launch(spec: ResizeSpec, device: Device) -> Launch:
    return maps.launch(spec.out, device)


def pack(spec: ResizeSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return ()


def _tables(spec: ResizeSpec, symbol: str) -> str:
    """Declarations of the source row and column of every output row and column."""
    text = ""
    for axis, lines in (("row", spec.rows), ("column", spec.columns)):
        text += _table("int", f"{symbol}_{axis}", [str(low) for low, _, _ in lines])
        if spec.mode == "linear":
            text += _table("int", f"{symbol}_next_{axis}", [str(high) for _, high, _ in lines])
            text += _table("float", f"{symbol}_{axis}_weight", [literal(weight) for _, _, weight in lines])
    return text + "\n"


def _table(form: str, name: str, values: Sequence[str]) -> str:
    rows = [", ".join(values[i : i + _PER_LINE]) for i in range(0, len(values), _PER_LINE)]
    return f"__constant {form} {name}[{len(values)}] = {{\n" + "".join(f"{INDENT}{row},\n" for row in rows) + "};\n"
