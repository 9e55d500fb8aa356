"""Canonical form, part 4: activations and layer normalisation that an exporter spelt out get their names back.

Exporters associate products differently (``0.5 * x * (1 + erf)``, ``x * (1 + erf) * 0.5``, ...) and write a cube as
a power or as products. So nothing here matches a fixed tree: a product is flattened into its factors, and what
stands inside a nonlinearity is compared as a polynomial in x.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from hetpart.passes.canonical_layers import reduction_axes
from hetpart.passes.edit import (
    Array,
    Editor,
    attribute,
    close,
    constant,
    is_float,
    is_operator,
    operand,
    scalar,
    shape_of,
    used_once,
)

_OPSET = {"Gelu": 20, "Mish": 18, "LayerNormalization": 17, "HardSwish": 14, "HardSigmoid": 6}
"""The version that introduced the operator; an older model keeps the spelt-out form."""


Named = tuple[str, ir.Value, dict[str, Any]]
"""Operator type, its input and its attributes."""


def activation(editor: Editor, node: ir.Node) -> bool:
    """HardSigmoid, HardSwish, Mish and Gelu, spelt out -> one node.

    ===========================================================  ============================
    clip(x + 3, 0, 6) / 6;  clip(x / 6 + 1 / 2, 0, 1)            HardSigmoid(x; 1 / 6, 1 / 2)
    x * HardSigmoid(x; 1 / 6, 1 / 2)                             HardSwish(x)
    x * tanh(softplus(x))                                        Mish(x)
    x / 2 * (1 + erf(x / sqrt(2)))                               Gelu(x)
    x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3)))   Gelu(x), approximate=tanh
    ===========================================================  ============================
    """
    result = node.outputs[0]
    if not is_float(result):
        return False
    factor, factors = (1.0, [result]) if is_operator(node, "Clip") else _product(node)
    found: Named | None = None
    if len(factors) == 1:
        found = _hard_sigmoid(factors[0], factor)
    elif len(factors) == 2:
        found = _gated(factors[0], factors[1], factor) or _gated(factors[1], factors[0], factor)
    if found is None:
        return False
    op_type, source, attributes = found
    if editor.opset < _OPSET[op_type] or shape_of(source) != shape_of(result):
        return False
    editor.become(node, op_type, [source], attributes)
    return True


def _hard_sigmoid(value: ir.Value, factor: float) -> Named | None:
    """The name of ``factor * value``, where value is a Clip."""
    for x in _linear_sources(value.producer()):
        if _is_hard_sigmoid(value, factor, x):
            return "HardSigmoid", x, {"alpha": 1 / 6, "beta": 0.5}
    return None


def _gated(gate: ir.Value, x: ir.Value, factor: float) -> Named | None:
    """The name of ``factor * gate(x) * x``."""
    producer = gate.producer()
    if producer is None:
        return None
    if _is_hard_sigmoid(gate, factor, x):
        return "HardSwish", x, {}
    if is_operator(producer, "Tanh") and close(factor, 1) and producer.inputs[0] is not None:
        softplus = producer.inputs[0].producer()
        return ("Mish", x, {}) if is_operator(softplus, "Softplus") and _reads(softplus, x) else None
    inner = _nonlinearity(gate)
    if inner is None or factor == 0 or not _is_polynomial(gate, inner.outputs[0], (0.5 / factor, 0.5 / factor)):
        return None
    argument = inner.inputs[0]
    if is_operator(inner, "Erf") and _is_polynomial(argument, x, (0, math.sqrt(0.5))):
        return "Gelu", x, {}
    slope = math.sqrt(2 / math.pi)
    if is_operator(inner, "Tanh") and _is_polynomial(argument, x, (0, slope, 0, slope * 0.044715)):
        return "Gelu", x, {"approximate": "tanh"}
    return None


def _reads(node: ir.Node | None, x: ir.Value) -> bool:
    return node is not None and node.inputs[0] is x


def _is_hard_sigmoid(value: ir.Value, factor: float, x: ir.Value) -> bool:
    """True if ``factor * value`` is ``clip(x / 6 + 1 / 2, 0, 1)``, named or as a Clip of something linear in x."""
    node = value.producer()
    if node is None or factor == 0:
        return False
    if is_operator(node, "HardSigmoid"):
        slope, offset = attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5)
        return _reads(node, x) and close(factor, 1) and close(slope, 1 / 6) and close(offset, 0.5)
    if (
        not is_operator(node, "Clip")
        or scalar(operand(node, 1)) != 0
        or not close(scalar(operand(node, 2)), 1 / factor)
    ):
        return False
    return _is_polynomial(node.inputs[0], x, (0.5 / factor, 1 / 6 / factor))


def _product(node: ir.Node) -> tuple[float, list[ir.Value]]:
    """Constant factor and other factors of a product, flattened through products that nobody else reads.

    A division by something computed is no product: its result is the one factor.
    """
    factor = 1.0
    factors: list[ir.Value] = []
    pending = [node.outputs[0]]
    while pending:
        value = pending.pop()
        product = value.producer()
        if (number := scalar(value)) is not None:
            factor *= number
        elif product is None or not (value is node.outputs[0] or used_once(value)):
            factors.append(value)
        elif is_operator(product, "Mul"):
            pending.extend(v for v in product.inputs if v is not None)
        elif is_operator(product, "Div") and product.inputs[0] and (divisor := scalar(product.inputs[1])):
            factor /= divisor
            pending.append(product.inputs[0])
        else:
            factors.append(value)
    return factor, factors


def _linear_sources(node: ir.Node | None) -> list[ir.Value]:
    """First inputs of `node` and, as long as it adds or multiplies by a number, of what makes them."""
    sources = []
    while node is not None and node.inputs and node.inputs[0] is not None:
        sources.append(node.inputs[0])
        node = node.inputs[0].producer()
        if not is_operator(node, "Add", "Mul", "Div", "Sub") or node is None or scalar(operand(node, 1)) is None:
            break
    return sources


def _nonlinearity(gate: ir.Value) -> ir.Node | None:
    """The Erf or Tanh that `gate` is a linear function of."""
    for source in _linear_sources(gate.producer()):
        node = source.producer()
        if is_operator(node, "Erf", "Tanh"):
            return node
    return None


_MAX_DEPTH = 6
"""Nodes between a polynomial and its variable; the longest spelling of the tanh Gelu has five."""


def _is_polynomial(value: ir.Value | None, x: ir.Value, expected: tuple[float, ...]) -> bool:
    """True if `value` is the polynomial in x with these coefficients, lowest degree first."""
    found = _polynomial(value, x, _MAX_DEPTH)
    if found is None:
        return False
    found = np.trim_zeros(found, "b")
    return len(found) == len(expected) and all(close(a, b) for a, b in zip(found.tolist(), expected, strict=True))


def _polynomial(value: ir.Value | None, x: ir.Value, depth: int) -> Array | None:
    """Coefficients of `value` as a polynomial in x, lowest degree first; None if it is none."""
    if value is None or depth < 0:
        return None
    if value is x:
        return np.array([0.0, 1.0])
    if (number := scalar(value)) is not None:
        return np.array([number])
    node = value.producer()
    if node is None or not is_operator(node, "Add", "Sub", "Mul", "Div", "Pow"):
        return None
    left = _polynomial(node.inputs[0], x, depth - 1)
    right = _polynomial(node.inputs[1], x, depth - 1)
    if left is None or right is None:
        return None
    polynomials = np.polynomial.polynomial
    match node.op_type:
        case "Add":
            return np.asarray(polynomials.polyadd(left, right))
        case "Sub":
            return np.asarray(polynomials.polysub(left, right))
        case "Mul":
            return np.asarray(polynomials.polymul(left, right))
        case "Div" if len(right) == 1 and right[0] != 0:
            return np.asarray(left / right[0])
        case "Pow" if len(right) == 1 and right[0] in (2.0, 3.0):
            return np.asarray(polynomials.polypow(left, int(right[0])))
    return None


def layer_norm(editor: Editor, node: ir.Node) -> bool:
    """d / sqrt(mean(d * d) + epsilon) with d = x - mean(x), means over the last axis -> LayerNormalization(x, 1)."""
    if editor.opset < _OPSET["LayerNormalization"] or not is_float(node.outputs[0]):
        return False
    for centred, deviation in _quotients(node):
        x = _centred_source(centred)
        epsilon = _variance_epsilon(deviation, centred)
        if x is None or epsilon is None or shape_of(x) != shape_of(node.outputs[0]):
            continue
        scale = np.ones(shape_of(x)[-1], dtype=x.dtype.numpy() if x.dtype is not None else np.float32)
        editor.become(
            node,
            "LayerNormalization",
            [x, editor.constant(f"{node.name}/scale", scale)],
            {"axis": -1, "epsilon": epsilon},
        )
        return True
    return False


def _quotients(node: ir.Node) -> list[tuple[ir.Value, ir.Value]]:
    """(dividend, divisor) of ``a / b``, or of ``a * Reciprocal(b)`` in either order."""
    first, second = node.inputs
    if first is None or second is None:
        return []
    if node.op_type == "Div":
        return [(first, second)]
    pairs = []
    for dividend, factor in ((first, second), (second, first)):
        inverse = factor.producer()
        if inverse is not None and is_operator(inverse, "Reciprocal") and inverse.inputs[0] is not None:
            pairs.append((dividend, inverse.inputs[0]))
    return pairs


def _centred_source(value: ir.Value) -> ir.Value | None:
    """The x of ``x - mean(x)``."""
    node = value.producer()
    if node is None or not is_operator(node, "Sub") or node.inputs[1] is None:
        return None
    x = node.inputs[0]
    return x if x is not None and _is_last_axis_mean(node.inputs[1].producer(), x) else None


def _variance_epsilon(deviation: ir.Value, centred: ir.Value) -> float | None:
    """The epsilon of ``sqrt(mean(d * d) + epsilon)``."""
    root = deviation.producer()
    total = root.inputs[0].producer() if root is not None and is_operator(root, "Sqrt") and root.inputs[0] else None
    if total is None or not is_operator(total, "Add"):
        return None
    variance, epsilon = total.inputs[0], scalar(total.inputs[1])
    mean = variance.producer() if variance is not None else None
    square = mean.inputs[0] if mean is not None and mean.inputs else None
    if square is None or not _is_last_axis_mean(mean, square):
        return None
    power = square.producer()
    return epsilon if is_operator(power, "Mul") and power and set(power.inputs) == {centred} else None


def _is_last_axis_mean(node: ir.Node | None, x: ir.Value) -> bool:
    return (
        node is not None
        and is_operator(node, "ReduceMean")
        and node.inputs[0] is x
        and reduction_axes(node) == (len(shape_of(x)) - 1,)
        and attribute(node, "keepdims", 1) == 1
    )


def layer_norm_scale(editor: Editor, node: ir.Node) -> bool:
    """LayerNormalization(x, s, b) * c -> LayerNormalization(x, s * c, b * c) for a c along the last axis."""
    found = _layer_norm_operands(node)
    if found is None:
        return False
    norm, scale, bias, factor = found
    inputs = [norm.inputs[0], editor.constant(f"{node.name}/scale", scale * factor)]
    if bias is not None:
        inputs.append(editor.constant(f"{node.name}/bias", bias * factor))
    editor.become(node, "LayerNormalization", inputs, _norm_attributes(norm))
    return True


def layer_norm_bias(editor: Editor, node: ir.Node) -> bool:
    """LayerNormalization(x, s, b) + c -> LayerNormalization(x, s, b + c) for a c along the last axis."""
    found = _layer_norm_operands(node)
    if found is None:
        return False
    norm, _, bias, offset = found
    total = np.array(offset if bias is None else bias + offset)
    inputs = [norm.inputs[0], norm.inputs[1], editor.constant(f"{node.name}/bias", total)]
    editor.become(node, "LayerNormalization", inputs, _norm_attributes(norm))
    return True


def _layer_norm_operands(node: ir.Node) -> tuple[ir.Node, Array, Array | None, Array] | None:
    """(norm, scale, bias or None, operand as a vector) if `node` reads a LayerNormalization and a vector constant."""
    data, vector = node.inputs[0], constant(node.inputs[1])
    norm = data.producer() if data is not None else None
    if data is None or vector is None or norm is None or not is_operator(norm, "LayerNormalization"):
        return None
    if not used_once(data) or len(norm.outputs) > 1 or shape_of(data) != shape_of(node.outputs[0]):
        return None
    scale, bias = constant(operand(norm, 1)), constant(operand(norm, 2))
    length = shape_of(data)[-1]
    per_feature = vector.size in (1, length) and (vector.size == 1 or vector.shape[-1] == length)
    if scale is None or scale.shape != (length,) or (bias is None and operand(norm, 2) is not None) or not per_feature:
        return None
    return norm, scale, bias, np.broadcast_to(vector.reshape(-1), (length,))


def _norm_attributes(norm: ir.Node) -> dict[str, Any]:
    return {"axis": -1, "epsilon": attribute(norm, "epsilon", 1e-5)}
