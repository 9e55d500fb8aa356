"""Which nodes of a model in canonical form are layers that repair can solve for."""

from __future__ import annotations

import math
from collections.abc import Callable, Container

import numpy as np
import onnx_ir as ir

from hetpart.passes.edit import Array, attribute, constant, is_float, is_operator, operand, shape_of, used_once
from hetpart.passes.patches import Places, patches
from hetpart.passes.repairing.layers import Bias, Layer

WIDEST = 6144
"""Columns of the widest matrix that is solved: three of 300 MB are held then. Of wider layers the bias is."""


def find_layer(node: ir.Node, known: Container[ir.Value]) -> Layer | None:
    """`node` as a layer, None if it is none.

    What the layer alone is added to becomes part of it: a bias, and summands that are `known`, so that a block makes
    good what its shortcut lost.
    """
    find = _FINDERS.get(node.op_type) if node.domain == "" else None
    if find is None or not is_float(node.outputs[0]) or math.prod(shape_of(node.outputs[0])) == 0:
        return None
    return find(node, known)


def _conv(node: ir.Node, known: Container[ir.Value]) -> Layer | None:
    """x [n, c, space...], weight [o, c / group, kernel...]."""
    data, weight = node.inputs[0], constant(node.inputs[1])
    if data is None or weight is None:
        return None
    group, inputs = attribute(node, "group", 1), math.prod(weight.shape[1:])
    kernel, space = weight.shape[2:], shape_of(node.outputs[0])[2:]
    axis = -1 - len(space)
    bias, result, beside = _sum(node, axis, _own_bias(node), known)
    if inputs > WIDEST:
        return _bias_alone(node, data, bias, result, beside, axis)

    def matrix(x: Array, places: Places) -> Array:
        return patches(node, x, kernel, space, places).reshape(len(places), group, inputs).swapaxes(0, 1)

    return Layer(node, data, 1, bias, result, beside, axis, group, inputs, len(weight) // group, matrix)


def _conv_transpose(node: ir.Node, known: Container[ir.Value]) -> Layer | None:
    data = node.inputs[0]
    if data is None or constant(node.inputs[1]) is None:
        return None
    axis = 1 - len(shape_of(data))
    return _bias_alone(node, data, *_sum(node, axis, _own_bias(node), known), axis)


def _dense(node: ir.Node, known: Container[ir.Value]) -> Layer | None:
    """Gemm or MatMul: x [..., k], weight [k, n]."""
    data, weight = node.inputs[0], constant(node.inputs[1])
    if data is None or weight is None or weight.ndim != 2 or (is_operator(node, "Gemm") and node.attributes):
        return None
    inputs, outputs = weight.shape
    bias, result, beside = _sum(node, -1, _own_bias(node) if is_operator(node, "Gemm") else None, known)
    if inputs > WIDEST:
        return _bias_alone(node, data, bias, result, beside, -1)

    def matrix(x: Array, places: Places) -> Array:
        return x.reshape(1, -1, inputs)[:, places]

    return Layer(node, data, 1, bias, result, beside, -1, 1, inputs, outputs, matrix)


def _scale(node: ir.Node, known: Container[ir.Value]) -> Layer | None:
    """Mul by one number per channel, and the Add behind it: a normalisation that no convolution took in."""
    data = node.inputs[0]
    shape = shape_of(node.outputs[0])
    if data is None or constant(data) is not None or shape_of(data) != shape:
        return None
    axis = next((axis for axis in range(-len(shape), 0) if _is_vector(node.inputs[1], shape, axis)), None)
    if axis is None:
        return None
    channels = shape[axis]

    def matrix(x: Array, places: Places) -> Array:
        return np.moveaxis(x, axis, 0).reshape(channels, -1, 1)[:, places]

    return Layer(node, data, 1, *_sum(node, axis, None, known), axis, channels, 1, 1, matrix)


_FINDERS: dict[str, Callable[[ir.Node, Container[ir.Value]], Layer | None]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _dense,
    "MatMul": _dense,
    "Mul": _scale,
}


def _bias_alone(
    node: ir.Node, data: ir.Value, bias: Bias | None, result: ir.Value, beside: tuple[ir.Value, ...], axis: int
) -> Layer | None:
    if bias is None:
        return None
    channels = shape_of(result)[axis]

    def matrix(x: Array, places: Places) -> Array:
        return np.empty((channels, len(places), 0), np.float32)

    return Layer(node, data, None, bias, result, beside, axis, channels, 0, 1, matrix)


def _sum(
    node: ir.Node, axis: int, bias: Bias | None, known: Container[ir.Value]
) -> tuple[Bias | None, ir.Value, tuple[ir.Value, ...]]:
    """The bias, the result and what is beside the layer in it; see `find_layer`."""
    result, beside, shape = node.outputs[0], [], shape_of(node.outputs[0])
    while used_once(result):
        (reader,) = result.consumers()
        if not is_operator(reader, "Add") or shape_of(reader.outputs[0]) != shape:
            break
        index = 1 if reader.inputs[0] is result else 0
        other = reader.inputs[index]
        if other is None:
            break
        if bias is None and _is_vector(other, shape, axis):
            bias = Bias(reader, index, other)
        elif constant(other) is None:
            if other not in known:
                break
            beside.append(other)
        result = reader.outputs[0]
    return bias, result, tuple(beside)


def _own_bias(node: ir.Node) -> Bias | None:
    """Input 2; None if that is computed, or a number for all."""
    value = operand(node, 2)
    channels = shape_of(node.outputs[0])[-1 if is_operator(node, "Gemm") else 1]
    if value is not None and (constant(value) is None or shape_of(value) != (channels,)):
        return None
    return Bias(node, 2, value)


def _is_vector(value: ir.Value | None, shape: tuple[int, ...], axis: int) -> bool:
    """Whether `value` is a constant with a number for each of several indices of `axis`, beside a tensor of `shape`."""
    if value is None or constant(value) is None:
        return False
    extents = (1,) * (len(shape) - len(shape_of(value))) + shape_of(value)
    return len(extents) == len(shape) and extents[axis] == math.prod(extents) == shape[axis] > 1
