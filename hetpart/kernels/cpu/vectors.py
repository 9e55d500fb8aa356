"""Explicit vectors in TIR, and the register tile that the compute-bound kernels accumulate in.

Explicit vectors (indices that are a `tirx.Ramp`) instead of vectorised loops: there is less for TVM's passes to do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.graph.layout import Blocked
from hetpart.kernels.cpu.emit import Buffer, Expr, blocked_element, registers
from hetpart.kernels.isa import Isa


def vector(lanes: int, start: Expr = 0) -> Expr:
    """The indices of `lanes` neighbouring elements, for a vector load or store."""
    return tirx.Ramp(start, 1, lanes) if lanes > 1 else start


def power_of_two_pieces(length: int) -> list[int]:
    """Vector widths that add up to `length`, each a power of two, the widest first."""
    return [1 << bit for bit in reversed(range(length.bit_length())) if length >> bit & 1]


def zeros(lanes: int, element: str = "float32") -> Expr:
    return tirx.const(0.0, dtype_of(lanes, element))


def splat(value: Expr, lanes: int) -> Expr:
    """A vector with `value` in all lanes."""
    return tirx.Broadcast(value, lanes) if lanes > 1 else value


def dtype_of(lanes: int, element: str = "float32") -> str:
    return f"{element}x{lanes}" if lanes > 1 else element


def element_of(value: Expr) -> str:
    """The type of the lanes of `value`."""
    return str(value.ty.dtype).partition("x")[0]


def cast(value: Expr, element: str) -> Expr:
    """`value` with lanes of type `element`; nothing is done where they are."""
    return value if element_of(value) == element else tirx.Cast(dtype_of(value.ty.dtype.lanes, element), value)


def largest(values: Sequence[Expr], isa: Isa) -> Expr:
    """The maximum of vectors, NaN where one of them is; `T.max` is the second then, whatever the first was."""
    if not element_of(values[0]).startswith("float"):
        return reduce(T.max, values)
    dtype = values[0].ty.dtype
    if isa.triple.startswith("aarch64"):  # FMAX
        return reduce(lambda a, b: tirx.call_llvm_pure_intrin(dtype, "llvm.maximum", a, b), values)
    # x86: MAXPS, and one comparison per two values that tells of a NaN in either
    ordered = reduce(tirx.And, (value <= tirx.const(math.inf, dtype) for value in values))
    return tirx.Select(ordered, reduce(T.max, values), tirx.const(math.nan, dtype))


def operand_vector(buffer: Buffer, layout: Blocked, image: Expr, block: Expr, y: Expr, x: Expr, lanes: int) -> Expr:
    """The vector of a blocked operand that belongs to pixel (y, x) of an output block; broadcasts over sizes of 1."""
    value = blocked_element(buffer, layout, image, block, y, x, vector(lanes))
    return splat(value, lanes) if layout.c == 1 else value


class Accumulators:
    """A vector of ``widths[v]`` numbers for each `v` and each of `pixels` pixels, in registers.

    Each is a variable of vector type. Slices of a common float array would do for LLVM, but TVM does not always see
    that their indices are vectors, and then accesses them lane by lane.
    """

    def __init__(self, widths: Sequence[int], pixels: int, element: str = "float32") -> None:
        self.widths = tuple(widths)
        self.pixels = pixels
        self.element = element
        self._variables = [[registers((1,), dtype_of(width, element)) for _ in range(pixels)] for width in widths]

    def get(self, v: int, pixel: int) -> Expr:
        return self._variables[v][pixel][0]

    def set(self, v: int, pixel: int, value: Expr) -> None:
        T.buffer_store(self._variables[v][pixel], value, [0])

    def fill(self, values: Sequence[Expr]) -> None:
        """Set all pixels of vector `v` to ``values[v]``."""
        for v, value in enumerate(values):
            value = T.Bind(cast(value, self.element))
            for p in range(self.pixels):
                self.set(v, p, value)

    def add_product(self, v: int, pixel: int, a: Expr, b: Expr) -> None:
        self.set(v, pixel, self.get(v, pixel) + cast(a, self.element) * cast(b, self.element))

    def rank_one(self, weights: Sequence[Expr], inputs: Sequence[Expr]) -> None:
        """``acc[v, p] += weights[v] * inputs[p]``: vectors times scalars."""
        bound = [T.Bind(cast(weight, self.element)) for weight in weights]
        for p, value in enumerate(inputs):
            value = cast(value, self.element)
            copies = {width: T.Bind(splat(value, width)) for width in dict.fromkeys(self.widths)}
            for v, weight in enumerate(bound):
                self.add_product(v, p, weight, copies[self.widths[v]])
