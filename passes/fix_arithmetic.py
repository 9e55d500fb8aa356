"""Fixes, part 3: reductions as pooling, and activations in terms of others."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from hetpart.passes.block import Block
from hetpart.passes.edit import integers, normalised_axes, operand, shape_of


def reduction(at: Block) -> bool:
    """ReduceMean, -Sum, -Max, -Min, -L1, -L2 and -SumSquare over neighbouring axes -> global pooling of an image."""
    x = at.input(0)
    shape = shape_of(x)
    axes = integers(operand(at.node, 1)) if operand(at.node, 1) is not None else at.attribute("axes", ())
    if x.dtype != ir.DataType.FLOAT or axes is None or x.is_initializer() or 0 in shape:
        return False
    if not axes and at.attribute("noop_with_empty_axes", 0):
        return False
    reduced = normalised_axes(axes, len(shape)) or tuple(range(len(shape)))
    if not reduced or reduced != tuple(range(reduced[0], reduced[-1] + 1)):
        return False
    kind = at.node.op_type
    if kind in ("ReduceL2", "ReduceSumSquare"):
        x = at.op("Mul", x, x)
    elif kind == "ReduceL1":
        x = at.op("Abs", x)
    elif kind == "ReduceMin":
        x = at.op("Neg", x)
    first, last = reduced[0], reduced[-1] + 1
    outer, size, inner = math.prod(shape[:first]), math.prod(shape[first:last]), math.prod(shape[last:])
    x = at.reshape(x, (outer, size, inner))
    if inner > 1:
        x = at.op("Transpose", x, perm=[0, 2, 1])
    image = at.reshape(x, (outer, inner, 1, size))
    y = at.op("GlobalMaxPool" if kind in ("ReduceMax", "ReduceMin") else "GlobalAveragePool", image)
    if kind not in ("ReduceMax", "ReduceMin", "ReduceMean"):
        y = at.op("Mul", y, at.const(np.float32(size)))
    if kind == "ReduceL2":
        y = at.op("Sqrt", y)
    elif kind == "ReduceMin":
        y = at.op("Neg", y)
    return at.replace(at.reshape(y, shape_of(at.node.outputs[0])))


def lrn(at: Block) -> bool:
    """LRN -> x / (bias + alpha * mean of squares of the neighbouring channels) ** beta, the mean by pooling."""
    x = at.input(0)
    shape = shape_of(x)
    if x.dtype != ir.DataType.FLOAT or len(shape) < 2 or 0 in shape:
        return False
    size = at.attribute("size", 1)
    before, after = (size - 1) // 2, size // 2
    square = at.reshape(at.op("Mul", x, x), (shape[0], 1, shape[1], math.prod(shape[2:])))
    mean = at.op(
        "AveragePool", square, kernel_shape=[size, 1], pads=[before, 0, after, 0], strides=[1, 1], count_include_pad=1
    )
    scaled = at.op("Mul", at.reshape(mean, shape), at.const(np.float32(at.attribute("alpha", 1e-4))))
    base = at.op("Add", scaled, at.const(np.float32(at.attribute("bias", 1.0))))
    return at.replace(at.op("Div", x, at.op("Pow", base, at.const(np.float32(at.attribute("beta", 0.75))))))


def selu(at: Block) -> bool:
    """Selu -> gamma * Elu."""
    if at.input(0).dtype != ir.DataType.FLOAT:
        return False
    alpha, gamma = at.attribute("alpha", 1.6732632), at.attribute("gamma", 1.0507010)
    return at.replace(at.op("Mul", at.op("Elu", at.input(0), alpha=alpha), at.const(np.float32(gamma))))


def shrink(at: Block) -> bool:
    """Shrink whose bias is its threshold -> Relu(x - lambd) - Relu(-x - lambd)."""
    lambd = at.attribute("lambd", 0.5)
    if at.attribute("bias", 0.0) != lambd or lambd < 0 or at.input(0).dtype != ir.DataType.FLOAT:
        return False
    offset = at.const(np.float32(-lambd))
    above = at.op("Relu", at.op("Add", at.input(0), offset))
    below = at.op("Relu", at.op("Add", at.op("Neg", at.input(0)), offset))
    return at.replace(at.op("Sub", above, below))


def hard_sigmoid(at: Block) -> bool:
    """HardSigmoid -> Mul, Add, Clip."""
    return at.replace(_ramp(at, at.attribute("alpha", 0.2), at.attribute("beta", 0.5)))


def hard_swish(at: Block) -> bool:
    """HardSwish -> x * Clip(x / 6 + 1 / 2, 0, 1)."""
    return at.replace(at.op("Mul", at.input(0), _ramp(at, 1 / 6, 0.5)))


def _ramp(at: Block, slope: float, offset: float) -> ir.Value:
    x = at.input(0)
    line = at.op("Add", at.op("Mul", x, at.const(slope, like=x)), at.const(offset, like=x))
    return at.op("Clip", line, at.const(0.0, like=x), at.const(1.0, like=x))


def gelu(at: Block) -> bool:
    """Gelu -> x / 2 * (1 + Erf(x / sqrt 2)), or its approximation by Tanh."""
    x = at.input(0)

    def number(value: float) -> ir.Value:
        return at.const(value, like=x)

    if at.attribute("approximate", "none") == "tanh":
        cubic = at.op("Mul", at.op("Mul", x, at.op("Mul", x, x)), number(0.044715))
        bent = at.op("Tanh", at.op("Mul", at.op("Add", x, cubic), number(math.sqrt(2 / math.pi))))
    else:
        bent = at.op("Erf", at.op("Mul", x, number(math.sqrt(0.5))))
    return at.replace(at.op("Mul", at.op("Mul", x, number(0.5)), at.op("Add", bent, number(1.0))))
