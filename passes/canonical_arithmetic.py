"""Canonical form, part 2: arithmetic. Every rewrite here is exact, rounding included."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from hetpart.passes.edit import Array, Editor, constant, is_float, is_operator, operand, scalar, shape_of, used_once


def constant_last(editor: Editor, node: ir.Node) -> bool:
    """op(c, x) -> op(x, c) for commutative operators."""
    if len(node.inputs) != 2:
        return False
    first, second = node.inputs
    if first is None or second is None or not first.is_initializer() or second.is_initializer():
        return False
    editor.become(node, node.op_type, [second, first])
    return True


def neutral_factor(editor: Editor, node: ir.Node) -> bool:
    """x * 1 -> x."""
    data = node.inputs[0]
    if data is None or scalar(node.inputs[1]) != 1 or shape_of(data) != shape_of(node.outputs[0]):
        return False
    if data.is_initializer():
        return False
    editor.bypass(node, data)
    return True


def subtraction(editor: Editor, node: ir.Node) -> bool:
    """x - c -> x + (-c)."""
    data, subtrahend = node.inputs[0], constant(node.inputs[1])
    if data is None or subtrahend is None or data.is_initializer() or not is_float(data):
        return False
    editor.become(node, "Add", [data, editor.constant(f"{node.name}/negated", -subtrahend)])
    return True


def division(editor: Editor, node: ir.Node) -> bool:
    """x / c -> x * (1 / c) where all elements of c are powers of two, which rounds alike;  1 / x -> Reciprocal."""
    data, divisor = node.inputs[0], constant(node.inputs[1])
    if divisor is None and scalar(data) == 1 and is_float(data):
        return _become_reciprocal(editor, node)
    if data is None or divisor is None or data.is_initializer() or not is_float(data):
        return False
    mantissa, _ = np.frexp(divisor)
    reciprocal = _reciprocal(divisor)
    if not (np.abs(mantissa) == 0.5).all() or not (np.isfinite(reciprocal) & (reciprocal != 0)).all():
        return False
    editor.become(node, "Mul", [data, editor.constant(f"{node.name}/reciprocal", reciprocal)])
    return True


def _become_reciprocal(editor: Editor, node: ir.Node) -> bool:
    divisor = node.inputs[1]
    if divisor is None or shape_of(divisor) != shape_of(node.outputs[0]):
        return False
    editor.become(node, "Reciprocal", [divisor])
    return True


def _reciprocal(divisor: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(1 / divisor, dtype=divisor.dtype)


_EXACT_INTEGERS = 2**8
"""Up to here every float type, bfloat16 included, holds all integers."""


def power(editor: Editor, node: ir.Node) -> bool:
    """x ** 2 -> x * x;  x ** 1 -> x;  x ** -1 -> Reciprocal(x);  an integer exponent -> one of the dtype of x."""
    data, exponent = node.inputs[0], scalar(node.inputs[1])
    result = node.outputs[0]
    if data is None or not is_float(data) or shape_of(data) != shape_of(result) or data.dtype != result.dtype:
        return False
    match exponent:
        case 2.0:
            editor.become(node, "Mul", [data, data])
        case 1.0:
            editor.bypass(node, data)
        case -1.0:
            editor.become(node, "Reciprocal", [data])
        case float() if not is_float(node.inputs[1]) and abs(exponent) <= _EXACT_INTEGERS:
            editor.become(node, "Pow", [data, editor.number(f"{node.name}/exponent", exponent, data)])
        case _:
            return False
    return True


def n_ary(editor: Editor, node: ir.Node) -> bool:
    """Sum(a, b, c) -> Add(Add(a, b), c); Max and Min likewise; of one input -> that input."""
    values = [value for value in node.inputs if value is not None]
    if len(values) == 1:
        editor.bypass(node, values[0])
        return True
    op_type = "Add" if node.op_type == "Sum" else node.op_type
    if len(values) == 2 and op_type == node.op_type:
        return False
    editor.become(node, op_type, [_chain(editor, node, op_type, values[:-1]), values[-1]])
    return True


def mean(editor: Editor, node: ir.Node) -> bool:
    """Mean(a, b, c) -> Div(Add(Add(a, b), c), 3)."""
    values = [value for value in node.inputs if value is not None]
    if len(values) == 1:
        editor.bypass(node, values[0])
        return True
    total = _chain(editor, node, "Add", values)
    editor.become(node, "Div", [total, editor.number(f"{node.name}/count", len(values), total)])
    return True


def _chain(editor: Editor, node: ir.Node, op_type: str, values: list[ir.Value]) -> ir.Value:
    """All `values` combined from left to right, by nodes in front of `node`."""
    acc = values[0]
    for value in values[1:]:
        shape = np.broadcast_shapes(shape_of(acc), shape_of(value))
        acc = editor.insert(node, op_type, [acc, value], shape=shape)
    return acc


def bound(editor: Editor, node: ir.Node) -> bool:
    """Max(x, c) -> Clip(x, c);  Min(x, c) -> Clip(x, _, c), for a number c."""
    if len(node.inputs) != 2:
        return False
    data, number = node.inputs
    if data is None or number is None or (value := scalar(number)) is None or data.is_initializer():
        return False
    if math.isnan(value):
        return False  # makes NaN of everything; as a bound it would bound nothing
    if not is_float(data) or shape_of(data) != shape_of(node.outputs[0]):
        return False
    limit = number if not shape_of(number) else _scalar_copy(editor, node, number)
    editor.become(node, "Clip", [data, limit] if node.op_type == "Max" else [data, None, limit])
    return True


def clip(editor: Editor, node: ir.Node) -> bool:
    """Clip without bounds -> x; with computed bounds -> Max, Min; of Clip or Relu -> one Clip; below 0 only -> Relu."""
    data, low, high = node.inputs[0], operand(node, 1), operand(node, 2)
    if data is None:
        return False
    if low is None and high is None:
        editor.bypass(node, data)
        return True
    if any(limit is not None and not limit.is_initializer() for limit in (low, high)):
        return _computed_bounds(editor, node, data, low, high)
    if not is_float(data):
        return False
    bounds = _bounds(low, high)
    inner = data.producer()
    if inner is not None and used_once(data) and (inner_bounds := _clamp(inner)) is not None:
        merged = _compose(inner_bounds, bounds)
        if merged is not None:
            _become_clip(editor, node, inner.inputs[0], merged)
            return True
    if bounds == (0.0, math.inf):
        editor.become(node, "Relu", [data])
        return True
    return False


def relu_of_clip(editor: Editor, node: ir.Node) -> bool:
    """Relu(Clip(x, lo, hi)) -> Clip(x, max(lo, 0), max(hi, 0));  Relu(Relu(x)) -> Relu(x)."""
    data = node.inputs[0]
    inner = data.producer() if data is not None else None
    if data is None or inner is None or not used_once(data) or not is_float(data):
        return False
    inner_bounds = _clamp(inner)
    merged = None if inner_bounds is None else _compose(inner_bounds, (0.0, math.inf))
    if merged is None:
        return False
    _become_clip(editor, node, inner.inputs[0], merged)
    return True


def _computed_bounds(
    editor: Editor, node: ir.Node, data: ir.Value, low: ir.Value | None, high: ir.Value | None
) -> bool:
    """Clip(x, lo, hi) is defined as Min(Max(x, lo), hi)."""
    if low is not None and high is not None:
        data = editor.insert(node, "Max", [data, low], shape=shape_of(data))
        editor.become(node, "Min", [data, high])
    elif low is not None:
        editor.become(node, "Max", [data, low])
    else:
        editor.become(node, "Min", [data, high])
    return True


def _clamp(node: ir.Node) -> tuple[float, float] | None:
    """Bounds of a Relu or of a Clip with constant bounds."""
    if is_operator(node, "Relu"):
        return 0.0, math.inf
    if not is_operator(node, "Clip"):
        return None
    limits = operand(node, 1), operand(node, 2)
    if any(limit is not None and not limit.is_initializer() for limit in limits):
        return None
    return _bounds(*limits)


def _bounds(low: ir.Value | None, high: ir.Value | None) -> tuple[float, float]:
    lower, upper = scalar(low), scalar(high)
    return -math.inf if lower is None else lower, math.inf if upper is None else upper


def _compose(inner: tuple[float, float], outer: tuple[float, float]) -> tuple[float, float] | None:
    """Bounds of clip(clip(x, *inner), *outer); None where a lower bound lies above its upper bound."""
    if not (inner[0] <= inner[1] and outer[0] <= outer[1]):
        return None
    return min(max(inner[0], outer[0]), outer[1]), min(max(inner[1], outer[0]), outer[1])


def _become_clip(editor: Editor, node: ir.Node, data: ir.Value | None, bounds: tuple[float, float]) -> None:
    if bounds == (0.0, math.inf):
        editor.become(node, "Relu", [data])
        return
    like = node.outputs[0]
    low = editor.number(f"{node.name}/min", bounds[0], like) if bounds[0] != -math.inf else None
    high = editor.number(f"{node.name}/max", bounds[1], like) if bounds[1] != math.inf else None
    editor.become(node, "Clip", [data, low] if high is None else [data, low, high])


def _scalar_copy(editor: Editor, node: ir.Node, number: ir.Value) -> ir.Value:
    """Clip wants its bounds without dimensions."""
    data = constant(number)
    return editor.constant(f"{node.name}/bound", np.reshape(data, ())) if data is not None else number
