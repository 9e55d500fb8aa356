"""What the operators say of channels: which axes of their operands share labels (hetpart.passes.pruning.labels).

A rule sets the labels of the node's first output (of all of them, for Split). An operator without a rule freezes all
that it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest

import numpy as np
import onnx_ir as ir

from hetpart.passes.edit import attribute, integers, operand, shape_of
from hetpart.passes.pruning.labels import Labelling, Labels, Role, fixed
from hetpart.passes.pruning.rules_shape import SHAPE_RULES

Rule = Callable[[ir.Node, Labelling], bool]
"""Labels the outputs of a node; False if it cannot follow this one."""


def label(graph: ir.Graph) -> Labelling:
    """The labels of all values of a graph in canonical form; its inputs and outputs keep every channel."""
    found = Labelling()
    for value in graph.inputs:
        if not value.is_initializer():
            found.axes[value] = [fixed(extent) for extent in shape_of(value)]
    for node in graph:
        rule = _RULES.get(node.op_type) if node.domain == "" else None
        if rule is None or not rule(node, found):
            _freeze(node, found)
    for value in graph.outputs:
        for axis in found.of(value):
            found.freeze(axis, f"the model's output '{value.name}' has it")
    return found


def _freeze(node: ir.Node, labels: Labelling) -> None:
    for value in node.inputs:
        if value is not None:
            for axis in labels.of(value):
                labels.freeze(axis, f"{node.op_type} '{node.name}' may mix it with others")
    for value in node.outputs:
        if value.name:
            labels.axes[value] = [fixed(extent) for extent in shape_of(value)]


def _conv(node: ir.Node, labels: Labelling) -> bool:
    """x [n, c_in, space...], weight [c_out, c_in / group, kernel...], bias [c_out]; y [n, c_out, space...]."""
    data, weight = node.inputs[0], node.inputs[1]
    if data is None or weight is None or not weight.is_initializer():
        return False
    group = attribute(node, "group", 1)
    batch, channels = labels.of(data)[:2]
    shape = shape_of(weight)
    space = [fixed(extent) for extent in shape[2:]]
    if group == len(channels) and shape[1] == 1 and group > 1:
        made = np.repeat(channels, shape[0] // group)
        labels.axes[weight] = [made, fixed(1), *space]
        labels.roles[weight, 0] = Role.VECTOR
    else:
        read = _one_per_group(channels, group, node, labels)
        made = np.tile(labels.fresh(shape[0] // group), group)
        labels.axes[weight] = [made, read, *space]
        labels.roles[weight, 0], labels.roles[weight, 1] = Role.FILTER, Role.INPUT
    _bias(node, made, labels)
    labels.axes[node.outputs[0]] = [batch, made, *(fixed(n) for n in shape_of(node.outputs[0])[2:])]
    return True


def _conv_transpose(node: ir.Node, labels: Labelling) -> bool:
    """As Conv, with weight [c_in, c_out / group, kernel...]."""
    data, weight = node.inputs[0], node.inputs[1]
    if data is None or weight is None or not weight.is_initializer():
        return False
    group = attribute(node, "group", 1)
    batch, channels = labels.of(data)[:2]
    shape = shape_of(weight)
    space = [fixed(extent) for extent in shape[2:]]
    if group == len(channels) and group > 1:
        made = np.repeat(channels, shape[1])
        labels.axes[weight] = [channels, fixed(shape[1]), *space]
        labels.roles[weight, 0] = Role.VECTOR
    else:
        _one_per_group(channels, group, node, labels)
        new = labels.fresh(shape[1])
        made = np.tile(new, group)
        labels.axes[weight] = [channels, new, *space]
        labels.roles[weight, 0], labels.roles[weight, 1] = Role.INPUT, Role.FILTER
    _bias(node, made, labels)
    labels.axes[node.outputs[0]] = [batch, made, *(fixed(n) for n in shape_of(node.outputs[0])[2:])]
    return True


def _one_per_group(channels: Labels, group: int, node: ir.Node, labels: Labelling) -> Labels:
    """Every group of a grouped convolution must lose the same channels: joined, one label per position in a group."""
    parts = channels.reshape(group, -1)
    for part in parts[1:]:
        labels.join(parts[0], part, node)
    first: Labels = parts[0]
    return first


def _bias(node: ir.Node, made: Labels, labels: Labelling) -> None:
    bias = operand(node, 2)
    if bias is not None:
        labels.join(made, labels.of(bias)[-1], node)
        labels.roles.setdefault((bias, len(shape_of(bias)) - 1), Role.FILTER)


def _gemm(node: ir.Node, labels: Labelling) -> bool:
    data, weight = node.inputs[0], node.inputs[1]
    if data is None or weight is None or not weight.is_initializer() or attribute(node, "transA", 0):
        return False
    bias = operand(node, 2)
    transposed = bool(attribute(node, "transB", 0))
    made = labels.fresh(shape_of(weight)[0 if transposed else 1])
    if bias is not None and shape_of(bias)[-1:] != (len(made),):
        return False
    rows, read = labels.of(data)
    labels.axes[weight] = [made, read] if transposed else [read, made]
    labels.roles[weight, 0 if transposed else 1] = Role.FILTER
    labels.roles[weight, 1 if transposed else 0] = Role.INPUT
    _bias(node, made, labels)
    labels.axes[node.outputs[0]] = [rows, made]
    return True


def _matmul(node: ir.Node, labels: Labelling) -> bool:
    """a [..., m, k], b [..., k, n]. Two activations keep their k: nothing constant could hide a channel of it."""
    left, right = node.inputs
    if left is None or right is None or min(len(shape_of(left)), len(shape_of(right))) < 2:
        return False
    a, b = labels.of(left), labels.of(right)
    labels.join(a[-1], b[-2], node)
    if left.is_initializer():
        labels.roles[left, len(a) - 2], labels.roles[left, len(a) - 1] = Role.FILTER, Role.INPUT
    if right.is_initializer():
        labels.roles[right, len(b) - 2], labels.roles[right, len(b) - 1] = Role.INPUT, Role.FILTER
    if not left.is_initializer() and not right.is_initializer():
        labels.freeze(a[-1], f"MatMul '{node.name}' sums over it in two activations")
    labels.axes[node.outputs[0]] = [*_broadcast([a[:-2], b[:-2]], node, labels), a[-2], b[-1]]
    return True


def _elementwise(node: ir.Node, labels: Labelling) -> bool:
    inputs = [value for value in node.inputs if value is not None]
    for value in inputs:
        if value.is_initializer():
            found = labels.of(value)
            labels.roles.update({(value, axis): Role.VECTOR for axis in range(len(found))})
    labels.axes[node.outputs[0]] = _broadcast([labels.of(value) for value in inputs], node, labels)
    return True


def _broadcast(operands: list[list[Labels]], node: ir.Node, labels: Labelling) -> list[Labels]:
    """Labels of what operands broadcast to: aligned at the end, length 1 beside a longer axis stays."""
    result = []
    for axes in zip_longest(*(reversed(axes) for axes in operands)):
        present = [axis for axis in axes if axis is not None]
        longest = max(len(axis) for axis in present) if all(len(axis) for axis in present) else 0
        full = [axis for axis in present if len(axis) == longest]
        for axis in present:
            if len(axis) != longest:
                labels.freeze(axis, f"{node.op_type} '{node.name}' repeats it")
        for other in full[1:]:
            labels.join(full[0], other, node)
        result.append(full[0])
    return result[::-1]


def _pool(node: ir.Node, labels: Labelling) -> bool:
    data = node.inputs[0]
    if data is None or any(value.name for value in node.outputs[1:]):
        return False
    space = [fixed(extent) for extent in shape_of(node.outputs[0])[2:]]
    labels.axes[node.outputs[0]] = [*labels.of(data)[:2], *space]
    return True


def _instance_norm(node: ir.Node, labels: Labelling) -> bool:
    """Each channel by itself; scale [c], bias [c]."""
    data = node.inputs[0]
    if data is None:
        return False
    found = labels.of(data)
    for vector in node.inputs[1:]:
        if vector is not None:
            labels.join(found[1], labels.of(vector)[0], node)
            labels.roles[vector, 0] = Role.VECTOR
    labels.axes[node.outputs[0]] = found
    return True


def _normalised(node: ir.Node, labels: Labelling) -> bool:
    """Softmax and its like: the axis that is normalised stays."""
    data = node.inputs[0]
    if data is None:
        return False
    found = labels.of(data)
    labels.freeze(found[attribute(node, "axis", -1)], f"{node.op_type} '{node.name}' normalises over it")
    labels.axes[node.outputs[0]] = found
    return True


def _layer_norm(node: ir.Node, labels: Labelling) -> bool:
    data = node.inputs[0]
    if data is None or any(value.name for value in node.outputs[1:]):
        return False
    found = labels.of(data)
    for axis in found[attribute(node, "axis", -1) :]:
        labels.freeze(axis, f"{node.op_type} '{node.name}' normalises over it")
    for vector in node.inputs[1:]:
        if vector is not None:
            for own in labels.of(vector):
                labels.freeze(own, f"{node.op_type} '{node.name}' normalises over it")
    labels.axes[node.outputs[0]] = found
    return True


def _reduce(node: ir.Node, labels: Labelling) -> bool:
    """ReduceMean and its like: what is reduced stays."""
    data, axes = node.inputs[0], integers(operand(node, 1))
    if data is None or axes is None or not axes:
        return False
    found = labels.of(data)
    reduced = {axis % len(found) for axis in axes}
    for axis in reduced:
        labels.freeze(found[axis], f"{node.op_type} '{node.name}' reduces it")
    keep = attribute(node, "keepdims", 1)
    labels.axes[node.outputs[0]] = [
        fixed(1) if axis in reduced else own for axis, own in enumerate(found) if keep or axis not in reduced
    ]
    return True


_ELEMENTWISE = (
    "Abs", "Add", "And", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast", "Ceil", "Celu",
    "Clip", "Cos", "Div", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid",
    "HardSwish", "IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Min", "Mish", "Mod", "Mul",
    "Neg", "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin",
    "Softplus", "Softsign", "Sqrt", "Sub", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Where", "Xor",
)  # fmt: skip

_RULES: dict[str, Rule] = {
    **SHAPE_RULES,
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool"), _pool),
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"), _reduce),
    **dict.fromkeys(("Hardmax", "LogSoftmax", "Softmax"), _normalised),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "MatMul": _matmul,
}
