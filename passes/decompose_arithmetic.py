"""Decompositions, part 4: arithmetic that TVM's importer lacks or gets wrong."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import onnx_ir as ir

from hetpart.passes.block import Block
from hetpart.passes.edit import dtype_of, is_float, operand, shape_of

_MAX_DETERMINANT = 4
"""Rows; Leibniz' formula has n! terms."""


def computed_batch_norm(at: Block) -> bool:
    """BatchNormalization whose parameters are computed -> arithmetic; with constants see `canonical_layers`."""
    x, *parameters = (at.input(index) for index in range(5))
    if at.attribute("training_mode", 0) or all(value.is_initializer() for value in parameters):
        return False
    channel = (shape_of(x)[1] if len(shape_of(x)) > 1 else 1, *(1,) * (len(shape_of(x)) - 2))
    dtype = dtype_of(x)
    scale, bias, mean, variance = (at.reshape(at.cast(value, dtype), channel) for value in parameters)
    deviation = at.op("Sqrt", at.op("Add", variance, at.const(at.attribute("epsilon", 1e-5), like=x)))
    normal = at.op("Div", at.op("Sub", x, mean), deviation)
    return at.replace(at.op("Add", at.op("Mul", normal, scale), bias))


def determinant(at: Block) -> bool:
    """Det of small matrices -> Leibniz' formula."""
    x = at.input(0)
    *outer, size, _ = shape_of(x)
    if not 0 < size <= _MAX_DETERMINANT:
        return False
    rank = len(outer) + 2

    def element(row: int, column: int) -> ir.Value:
        return at.slice(at.slice(x, rank - 2, row, row + 1), rank - 1, column, column + 1)

    elements = {(i, j): element(i, j) for i in range(size) for j in range(size)}

    def term(columns: Sequence[int]) -> ir.Value:
        product = elements[0, columns[0]]
        for row in range(1, size):
            product = at.op("Mul", product, elements[row, columns[row]])
        return product

    diagonal, *others = permutations(range(size))
    total = term(diagonal)
    for columns in others:
        odd = sum(columns[i] > columns[j] for i in range(size) for j in range(i + 1, size)) % 2
        total = at.op("Sub" if odd else "Add", total, term(columns))
    return at.replace(at.reshape(total, tuple(outer)))


def is_inf(at: Block) -> bool:
    """IsInf that detects one sign -> IsInf and a comparison with zero."""
    negative, positive = at.attribute("detect_negative", 1), at.attribute("detect_positive", 1)
    x = at.input(0)
    if negative and positive:
        return False
    if not negative and not positive:
        return at.replace(at.const(np.zeros(shape_of(x), np.bool_)))
    sign = at.op("Greater" if positive else "Less", x, at.const(0.0, like=x))
    return at.replace(at.op("And", at.op("IsInf", x), sign))


def lp_normalization(at: Block) -> bool:
    """LpNormalization -> x / norm, zero where the norm is zero."""
    x = at.input(0)
    axes = at.const([at.attribute("axis", -1)])
    norm = at.op("ReduceL1" if at.attribute("p", 2) == 1 else "ReduceL2", x, axes, keepdims=1)
    zero = at.const(0.0, like=x)
    return at.replace(at.op("Where", at.op("Equal", norm, zero), zero, at.op("Div", x, norm)))


def thresholded_relu(at: Block) -> bool:
    """ThresholdedRelu -> Where: TVM multiplies with a mask, which makes NaN of minus infinity."""
    x = at.input(0)
    above = at.op("Greater", x, at.const(at.attribute("alpha", 1.0), like=x))
    return at.replace(at.op("Where", above, x, at.const(0.0, like=x)))


def modulo(at: Block) -> bool:
    """Mod of integers with fmod (the sign of the dividend) -> Mod of magnitudes, and that sign.

    Mod of floats without fmod (the sign of the divisor) -> Mod with fmod, and the divisor added where the signs differ.
    """
    x, y = at.input(0), at.input(1)
    fmod = bool(at.attribute("fmod", 0))
    if fmod == is_float(x):
        return False
    if fmod:
        if x.dtype in (ir.DataType.UINT8, ir.DataType.UINT16, ir.DataType.UINT32, ir.DataType.UINT64):
            return at.replace(at.op("Mod", x, y))
        return at.replace(at.op("Mul", at.op("Mod", at.op("Abs", x), at.op("Abs", y)), at.op("Sign", x)))
    rest, zero = at.op("Mod", x, y, fmod=1), at.const(0.0, like=x)
    positive, negative = at.op("Greater", rest, zero), at.op("Less", rest, zero)
    differ = at.op(
        "Or",
        at.op("And", positive, at.op("Less", y, zero)),
        at.op("And", negative, at.op("Greater", y, zero)),
    )
    return at.replace(at.op("Where", differ, at.op("Add", rest, y), rest))


def power(at: Block) -> bool:
    """Pow of integers, or of two types.

    A float to any power is computed in the float's type. An integer to an integer power: by squaring, exactly as far as
    the result fits (a negative power of an integer is not defined). An integer to a float power: in float64.
    """
    x, y = at.input(0), at.input(1)
    dtype = dtype_of(x)
    if is_float(x):
        return dtype != y.dtype and at.replace(at.op("Pow", x, at.cast(y, dtype)))
    if is_float(y):
        made = at.op("Pow", at.cast(x, ir.DataType.DOUBLE), at.cast(y, ir.DataType.DOUBLE))
        return at.replace(at.cast(made, dtype))
    one, two = at.const(1, like=y), at.const(2, like=y)
    odd = at.op("Mod", y, two)
    # a number other than 0, 1 and -1 has no 64th power in any integer type; of those only the parity matters
    left = at.op("Where", at.op("Less", y, at.const(64, like=y)), y, at.op("Add", at.const(62, like=y), odd))
    result, square = at.const(1, like=x), x
    for bit in range(6):
        taken = at.op("Equal", at.op("Mod", left, two), one)
        result = at.op("Mul", result, at.op("Where", taken, square, at.const(1, like=x)))
        left = at.op("Div", left, two)
        square = at.op("Mul", square, square) if bit < 5 else square
    return at.replace(result)


def reduce_bool(at: Block) -> bool:
    """ReduceMax, ReduceMin of booleans -> of bytes."""
    x = at.input(0)
    if x.dtype != ir.DataType.BOOL:
        return False
    attributes = {name: at.attribute(name, 0) for name in at.node.attributes}
    made = at.op(at.node.op_type, at.cast(x, ir.DataType.UINT8), operand(at.node, 1), **attributes)
    return at.replace(at.cast(made, ir.DataType.BOOL))
