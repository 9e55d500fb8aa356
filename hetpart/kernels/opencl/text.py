"""Small pieces of OpenCL C text that every generator needs: literals, types, index sums, loops and signatures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

INDENT = "    "

SAMPLER = "texels"
"""The sampler of every image read: whole coordinates, and zeros outside of the image."""

AHEAD = 64
"""Steps of a reduction by which weights that stream from memory are asked for in advance."""


def literal(value: float) -> str:
    """The shortest decimal literal of the float32 nearest to `value`."""
    number = np.float32(value)
    if math.isnan(number):
        return "NAN"
    if math.isinf(number):
        return "INFINITY" if number > 0 else "-INFINITY"
    text = str(number)
    return text + ("f" if "." in text or "e" in text else ".0f")


def vector(width: int) -> str:
    """The type of `width` floats; `width` is 1, 2, 4, 8 or 16."""
    return "float" if width == 1 else f"float{width}"


def splat(value: str, width: int) -> str:
    """`value`, a scalar expression, in every lane."""
    return value if width == 1 else f"(float{width})({value})"


def affine(terms: Iterable[tuple[str, int]], constant: int = 0) -> str:
    """``name * stride + ... + constant`` without what is zero; names that are integers are folded into the constant."""
    parts = []
    for name, stride in terms:
        if name.isdecimal():
            constant += int(name) * stride
        elif stride:
            parts.append(name if stride == 1 else f"{name} * {stride}")
    if not parts:
        return str(constant)
    if constant:
        parts.append(str(constant))
    return " + ".join(parts).replace("+ -", "- ")


def indent(lines: Iterable[str]) -> list[str]:
    return [INDENT + line if line else line for line in lines]


def for_range(variable: str, start: str, stop: str, body: Iterable[str]) -> list[str]:
    """`body` for every value of `variable` from `start` to `stop` - 1."""
    return [f"for (int {variable} = {start}; {variable} < {stop}; {variable}++) {{", *indent(body), "}"]


def loop(variable: str, count: int, body: Callable[[str], list[str]]) -> list[str]:
    """`body` for every value of `variable` from 0; a single turn becomes the bare body of ``"0"``."""
    if count == 1:
        return body("0")
    return for_range(variable, "0", str(count), body(variable))


def const_in(name: str, width: int = 1) -> str:
    """Declaration of an input argument, a read-only array of vectors of `width` floats."""
    return f"__global const {vector(width)}* restrict {name}"


def prefetch(pointer: str, number: int) -> str:
    """The statement that asks for element `number` behind `pointer`, on tile devices.

    By clang's builtin, which wants a pointer without address space: PoCL's own ``prefetch`` does nothing.
    """
    return f"__builtin_prefetch((const void*)(size_t)({pointer} + {number}));"


def result(name: str, width: int = 1) -> str:
    """Declaration of an output argument."""
    return f"__global {vector(width)}* restrict {name}"


def kernel(symbol: str, comment: Sequence[str], arguments: Sequence[str], body: Sequence[str], before: str = "") -> str:
    """The text of one kernel. `before` is what it needs at file scope; `comment` says what it computes."""
    head = f"__kernel void {symbol}("
    joined = ", ".join(arguments)
    if len(head) + len(joined) > 110:
        joined = "\n" + ",\n".join(INDENT + argument for argument in arguments)
    note = "\n".join(["/*", *(f" * {line}" for line in comment), " */"])
    if any(SAMPLER in line for line in body):
        mode = "CLK_NORMALIZED_COORDS_FALSE | CLK_ADDRESS_CLAMP | CLK_FILTER_NEAREST"
        body = [f"const sampler_t {SAMPLER} = {mode};", *body]
    return "\n".join([note, before + head + joined + ")", "{", *indent(body), "}", ""])
