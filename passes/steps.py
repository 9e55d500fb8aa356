"""Which ONNX nodes are elementwise steps of a kernel's epilogue, and which steps they are.

`continuation` answers what may follow an accumulator within the same kernel; `beginning` says how a node that no
kernel absorbed starts an elementwise kernel of its own. Both look at canonical form only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx_ir as ir

from hetpart.passes.edit import attribute, is_operator, operand, scalar, shape_of, used_once


@dataclass(frozen=True)
class Draft:
    """A `hetpart.graph.epilogue.Step` whose operand is still a value of the graph, not an index."""

    op: str
    constants: tuple[float, ...] = ()
    operand: ir.Value | None = None
    reverse: bool = False


@dataclass(frozen=True)
class Continuation:
    """Nodes that turn an accumulator into `result` by `steps`; all but the last node's output are read by them only."""

    nodes: tuple[ir.Node, ...]
    steps: tuple[Draft, ...]
    result: ir.Value


_UNARY = {
    "Abs": "abs", "Ceil": "ceil", "Erf": "erf", "Exp": "exp", "Floor": "floor", "HardSwish": "hardswish", "Log": "log",
    "Mish": "mish", "Neg": "neg", "Reciprocal": "reciprocal", "Relu": "relu", "Sigmoid": "sigmoid", "Sign": "sign",
    "Softplus": "softplus", "Softsign": "softsign", "Sqrt": "sqrt", "Tanh": "tanh",
}  # fmt: skip

_BINARY = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Max": "max", "Min": "min", "Pow": "pow"}

_COMMUTATIVE = frozenset({"add", "mul", "max", "min"})


def continuation(acc: ir.Value) -> Continuation | None:
    """What follows `acc` if its only reader is a step on it (or the two nodes of x * sigmoid(x)), else None."""
    if acc.is_graph_output():
        return None
    readers = acc.consumers()
    if len(readers) == 1:
        return _single(readers[0], acc)
    if len(readers) == 2:
        for node in readers:
            silu = _silu(node)
            if silu is not None and set(silu.nodes) == set(readers):
                return silu
    return None


def beginning(node: ir.Node) -> tuple[ir.Value, Continuation] | None:
    """The accumulator that `node` starts from and its steps, None if it is not elementwise.

    The accumulator is an activation of the full output shape; the first such input is taken.
    """
    silu = _silu(node)
    if silu is not None and node.inputs[0] is not None:
        return node.inputs[0], silu
    for value in node.inputs:
        if value is not None and not value.is_initializer() and (found := _single(node, value)) is not None:
            return value, found
    return None


def _single(node: ir.Node, acc: ir.Value) -> Continuation | None:
    steps = _steps(node, acc)
    return None if steps is None else Continuation((node,), steps, node.outputs[0])


def _silu(sigmoid: ir.Node) -> Continuation | None:
    """``s = Sigmoid(x); y = Mul(x, s)`` with no other reader of s; ONNX has no name for it before opset 24."""
    if not is_operator(sigmoid, "Sigmoid") or not used_once(sigmoid.outputs[0]) or not _is_float32(sigmoid.outputs[0]):
        return None
    (product,) = sigmoid.outputs[0].consumers()
    if is_operator(product, "Mul") and sigmoid.inputs[0] in product.inputs:
        return Continuation((sigmoid, product), (Draft("silu"),), product.outputs[0])
    return None


def _steps(node: ir.Node, acc: ir.Value) -> tuple[Draft, ...] | None:
    """`node` as steps on its input `acc`; None if it is none, or if the result has not the shape of `acc`."""
    if node.domain != "" or len(node.outputs) != 1 or not all(v is None or _is_float32(v) for v in node.inputs):
        return None
    if not _is_float32(node.outputs[0]) or shape_of(node.outputs[0]) != shape_of(acc):
        return None
    if node.op_type in _BINARY:
        return _binary_steps(node, acc)
    if node.inputs[0] is not acc:
        return None
    if node.op_type in _UNARY:
        return (Draft(_UNARY[node.op_type]),)
    match node.op_type:
        case "Gelu":
            return (Draft("gelu_tanh" if attribute(node, "approximate", "none") == "tanh" else "gelu"),)
        case "Clip":
            return _clip_steps(node)
        case "LeakyRelu":
            return (Draft("leaky_relu", (attribute(node, "alpha", 0.01),)),)
        case "Elu":
            return (Draft("elu", (attribute(node, "alpha", 1.0),)),)
        case "HardSigmoid":
            return (Draft("hard_sigmoid", (attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5))),)
        case "PRelu":
            return _prelu_steps(node)
    return None


def _clip_steps(node: ir.Node) -> tuple[Draft, ...] | None:
    bounds = []
    for index, default in ((1, -math.inf), (2, math.inf)):
        value = operand(node, index)
        bound = default if value is None else scalar(value)
        if bound is None or math.isnan(bound):
            return None
        bounds.append(bound)
    return (Draft("clip", tuple(bounds)),)


def _prelu_steps(node: ir.Node) -> tuple[Draft, ...] | None:
    slope = node.inputs[1]
    number = scalar(slope)
    return (Draft("prelu", operand=slope),) if number is None else (Draft("leaky_relu", (number,)),)


def _binary_steps(node: ir.Node, acc: ir.Value) -> tuple[Draft, ...] | None:
    first, second = node.inputs
    if first is None or second is None:
        return None
    op = _BINARY[node.op_type]
    if first is second and op == "mul":
        return (Draft("square"),)
    if first is second and op == "add":
        return (Draft("mul_const", (2.0,)),)
    reverse = first is not acc
    other = first if reverse else second
    number = scalar(other)
    if number is not None and math.isfinite(number) and (steps := _constant_steps(op, number, reverse)) is not None:
        return steps
    return (Draft(op, operand=other, reverse=reverse and op not in _COMMUTATIVE),)


def _constant_steps(op: str, number: float, reverse: bool) -> tuple[Draft, ...] | None:
    """A binary step with one number, where that can be written with a constant and rounds the same; else None."""
    match op, reverse:
        case "add", _:
            return (Draft("add_const", (number,)),)
        case "mul", _:
            return (Draft("mul_const", (number,)),)
        case "max", _:
            return (Draft("clip", (number, math.inf)),)
        case "min", _:
            return (Draft("clip", (-math.inf, number)),)
        case "sub", False:
            return (Draft("add_const", (-number,)),)
        case "sub", True:
            return (Draft("neg"), Draft("add_const", (number,)))
        case "pow", False:
            return (Draft("pow_const", (number,)),)
        case "div", True if number == 1.0:
            return (Draft("reciprocal"),)
    return None


def _is_float32(value: ir.Value) -> bool:
    return value.dtype == ir.DataType.FLOAT
