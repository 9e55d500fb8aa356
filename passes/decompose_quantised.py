"""Decompositions, part 6: quantised operators outside of the QDQ form, in exact integer arithmetic.

Products of integers are summed exactly (in int32, or in floats that hold every sum); then one multiplication by the
ratio of the scales and one rounding to even, as onnxruntime does.
"""

from __future__ import annotations

import math

import onnx_ir as ir

from hetpart.passes.block import Block
from hetpart.passes.edit import dtype_of, operand, shape_of

_DIRECT = (ir.DataType.INT8, ir.DataType.UINT8)
_RANGES = {
    ir.DataType.INT8: (-128, 127),
    ir.DataType.UINT8: (0, 255),
    ir.DataType.INT16: (-(2**15), 2**15 - 1),
    ir.DataType.UINT16: (0, 2**16 - 1),
}


def quantize(at: Block) -> bool:
    """QuantizeLinear to 16 bits, or by blocks -> arithmetic."""
    x, scale, zero = at.input(0), at.input(1), operand(at.node, 2)
    out = at.node.outputs[0].dtype
    if out not in _RANGES or x.dtype != ir.DataType.FLOAT or scale.dtype != x.dtype:
        return False
    if out in _DIRECT and not at.attribute("block_size", 0):
        return False
    scaled = at.op("Round", at.op("Div", x, _per_axis(at, scale, x)))
    return at.replace(_saturate(at, scaled, None if zero is None else _per_axis(at, zero, x), out))


def dequantize(at: Block) -> bool:
    """DequantizeLinear of 16 bits, or by blocks -> arithmetic."""
    x, scale, zero = at.input(0), at.input(1), operand(at.node, 2)
    if x.dtype not in _RANGES or scale.dtype != ir.DataType.FLOAT:
        return False
    if x.dtype in _DIRECT and not at.attribute("block_size", 0):
        return False
    number = at.cast(x, ir.DataType.FLOAT)
    if zero is not None:
        number = at.op("Sub", number, at.cast(_per_axis(at, zero, x), ir.DataType.FLOAT))
    return at.replace(at.op("Mul", number, _per_axis(at, scale, x)))


def qlinear_matmul(at: Block) -> bool:
    """QLinearMatMul -> integer MatMul, one factor, rounding."""
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = (at.input(index) for index in range(8))
    if not {a.dtype, b.dtype, y_zero.dtype} <= _RANGES.keys():
        return False
    rows, columns = _along_rows(at, a_zero), b_zero
    left = at.op("Sub", at.cast(a, ir.DataType.INT32), at.cast(rows, ir.DataType.INT32))
    right = at.op("Sub", at.cast(b, ir.DataType.INT32), at.cast(columns, ir.DataType.INT32))
    total = at.op("MatMul", left, right)
    factor = _factor(at, _along_rows(at, a_scale), b_scale, y_scale)
    return at.replace(_requantise(at, total, factor, y_zero))


def conv_integer(at: Block) -> bool:
    """ConvInteger -> Conv of floats that hold every sum."""
    x_zero, w_zero = operand(at.node, 2), operand(at.node, 3)
    total = _convolve(at, at.input(0), x_zero, at.input(1), w_zero)
    return at.replace(at.cast(total, ir.DataType.INT32))


def qlinear_conv(at: Block) -> bool:
    """QLinearConv -> Conv of floats that hold every sum, one factor, rounding."""
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = (at.input(index) for index in range(8))
    if not {x.dtype, w.dtype, y_zero.dtype} <= _RANGES.keys():
        return False
    total = _convolve(at, x, x_zero, w, w_zero)
    channels = (-1, *(1,) * (len(shape_of(x)) - 2))
    if (bias := operand(at.node, 8)) is not None:
        total = at.op("Add", total, at.op("Reshape", at.cast(bias, dtype_of(total)), at.const(list(channels))))
    if shape_of(w_scale):
        w_scale = at.op("Reshape", w_scale, at.const(list(channels)))
    return at.replace(_requantise(at, total, _factor(at, x_scale, w_scale, y_scale), y_zero))


def _convolve(at: Block, x: ir.Value, x_zero: ir.Value | None, w: ir.Value, w_zero: ir.Value | None) -> ir.Value:
    """The exact convolution; the padding holds the zero point, which is zero after the subtraction."""
    terms = math.prod(shape_of(w)[1:])
    real = ir.DataType.FLOAT if terms * 255 * 255 < 2**24 else ir.DataType.DOUBLE
    x, w = at.cast(x, real), at.cast(w, real)
    if x_zero is not None:
        x = at.op("Sub", x, at.cast(x_zero, real))
    if w_zero is not None:
        zero = at.cast(w_zero, real)
        if shape_of(zero):
            zero = at.op("Reshape", zero, at.const([-1, *(1,) * (len(shape_of(w)) - 1)]))
        w = at.op("Sub", w, zero)
    return at.op("Conv", x, w, **{name: at.attribute(name, None) for name in at.node.attributes})


def _along_rows(at: Block, value: ir.Value) -> ir.Value:
    """A parameter per row of the left operand; several of them stand along the last axis but one."""
    shape = shape_of(value)
    return at.reshape(value, (*shape, 1)) if len(shape) == 1 and shape[0] > 1 else value


def _factor(at: Block, first: ir.Value, second: ir.Value, result: ir.Value) -> ir.Value:
    real = ir.DataType.FLOAT
    product = at.op("Mul", at.cast(first, real), at.cast(second, real))
    return at.op("Div", product, at.cast(result, real))


def _requantise(at: Block, total: ir.Value, factor: ir.Value, zero: ir.Value) -> ir.Value:
    scaled = at.op("Round", at.op("Mul", at.cast(total, ir.DataType.FLOAT), factor))
    return _saturate(at, scaled, zero, dtype_of(zero))


def _saturate(at: Block, number: ir.Value, zero: ir.Value | None, dtype: ir.DataType) -> ir.Value:
    """Whole floats plus the zero point, cut to the range of `dtype`."""
    if zero is not None:
        number = at.op("Add", number, at.cast(zero, ir.DataType.FLOAT))
    low, high = _RANGES[dtype]
    return at.cast(at.op("Clip", number, at.const(low, like=number), at.const(high, like=number)), dtype)


def _per_axis(at: Block, parameter: ir.Value, x: ir.Value) -> ir.Value:
    """A scale or zero point, brought to a shape that broadcasts with `x`."""
    shape, given = shape_of(x), shape_of(parameter)
    axis = at.attribute("axis", 1) % max(1, len(shape))
    block = at.attribute("block_size", 0)
    if block:
        wide = (*given[: axis + 1], block, *given[axis + 1 :])
        repeated = at.op(
            "Expand", at.reshape(parameter, (*given[: axis + 1], 1, *given[axis + 1 :])), at.const(list(wide))
        )
        merged = at.reshape(repeated, (*given[:axis], given[axis] * block, *given[axis + 1 :]))
        return merged if shape_of(merged) == shape else at.slice(merged, axis, 0, shape[axis])
    if len(given) == 1 and given[0] > 1:
        return at.reshape(parameter, tuple(given[0] if i == axis else 1 for i in range(len(shape))))
    return at.reshape(parameter, ()) if given else parameter
