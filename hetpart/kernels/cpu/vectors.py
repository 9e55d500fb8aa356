"""Explicit vectors in TIR, and the register tile that the compute-bound kernels accumulate in.

Explicit vectors (indices that are a `tirx.Ramp`) instead of vectorised loops: there is less for TVM's passes to do.
"""

from __future__ import annotations

from collections.abc import Sequence

from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.graph.layout import Blocked
from hetpart.kernels.cpu.emit import Buffer, Expr, blocked_element, registers


def vector(lanes: int, start: Expr = 0) -> Expr:
    """The indices of `lanes` neighbouring elements, for a vector load or store."""
    return tirx.Ramp(start, 1, lanes) if lanes > 1 else start


def zeros(lanes: int) -> Expr:
    return tirx.const(0.0, dtype_of(lanes))


def splat(value: Expr, lanes: int) -> Expr:
    """A vector with `value` in all lanes."""
    return tirx.Broadcast(value, lanes) if lanes > 1 else value


def dtype_of(lanes: int) -> str:
    return f"float32x{lanes}" if lanes > 1 else "float32"


def operand_vector(buffer: Buffer, layout: Blocked, image: Expr, block: Expr, y: Expr, x: Expr, lanes: int) -> Expr:
    """The vector of a blocked operand that belongs to pixel (y, x) of an output block; broadcasts over sizes of 1."""
    value = blocked_element(buffer, layout, image, block, y, x, vector(lanes))
    return splat(value, lanes) if layout.c == 1 else value


class Accumulators:
    """`vectors` x `pixels` vectors of `lanes` floats.

    All positions are Python ints: LLVM keeps the elements in registers only if none is computed.
    """

    def __init__(self, vectors: int, pixels: int, lanes: int) -> None:
        self.vectors = vectors
        self.pixels = pixels
        self.lanes = lanes
        self._array = registers((vectors * pixels * lanes,))

    def _index(self, vector_number: int, pixel: int) -> Expr:
        return vector(self.lanes, (vector_number * self.pixels + pixel) * self.lanes)

    def get(self, vector_number: int, pixel: int) -> Expr:
        return self._array[self._index(vector_number, pixel)]

    def set(self, vector_number: int, pixel: int, value: Expr) -> None:
        T.buffer_store(self._array, value, [self._index(vector_number, pixel)])

    def add_product(self, vector_number: int, pixel: int, a: Expr, b: Expr) -> None:
        self.set(vector_number, pixel, self.get(vector_number, pixel) + a * b)

    def rank_one(self, weights: Sequence[Expr], inputs: Sequence[Expr]) -> None:
        """``acc[v, p] += weights[v] * inputs[p]``: vectors times scalars."""
        bound = [T.Bind(weight) for weight in weights]
        for p, value in enumerate(inputs):
            value = T.Bind(splat(value, self.lanes))
            for v, weight in enumerate(bound):
                self.add_product(v, p, weight, value)
