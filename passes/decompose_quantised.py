"""Decompositions, part 6: quantisation that integer kernels do not know, in exact arithmetic.

That is QuantizeLinear and DequantizeLinear of 16 bits or by blocks, and ConvInteger where hetpart.frontend.qoperator,
which writes all other quantised operators as QDQ, has no form for it.
"""

from __future__ import annotations

import math

import onnx_ir as ir

from hetpart.passes.block import Block
from hetpart.passes.edit import operand, shape_of

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


def conv_integer(at: Block) -> bool:
    """ConvInteger -> Conv of floats that hold every sum; the padding is the zero point, and so zero once less it."""
    x, w, x_zero, w_zero = at.input(0), at.input(1), operand(at.node, 2), operand(at.node, 3)
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
    total = at.op("Conv", x, w, **{name: at.attribute(name, None) for name in at.node.attributes})
    return at.replace(at.cast(total, ir.DataType.INT32))


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
