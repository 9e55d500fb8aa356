"""Operators on quantised tensors -> DequantizeLinear, the operator on real numbers, QuantizeLinear.

QOperator models (QLinearConv, and com.microsoft's QLinearAdd, QGemm and so on, as onnxruntime's tools write them) say
the same as QDQ models, which is the form that the passes know (hetpart.passes.quantised). com.microsoft's operators
have to go before anything asks ONNX for their types; ONNX's own come after the change of opset, as
DequantizeLinear along an axis is of opset 13.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper

from hetpart.errors import HetpartError

CONTRIB = "com.microsoft"
_AXIS_OPSET = 13
_EXACT_SUM = 2**24
"""float32 holds all integers up to here."""


def write_as_qdq(graph: onnx.GraphProto, opset: int, domain: str) -> None:
    """Rewrites, in place, the quantised operators of `domain`; a graph whose nodes have names.

    Raises:
        HetpartError: ``opset-too-old`` where an operator is quantised along an axis before opset 13.
    """
    domain = "" if domain == "ai.onnx" else domain
    rules = _CONTRIB_RULES if domain == CONTRIB else _STANDARD_RULES
    if not any(node.op_type in rules and _domain(node) == domain for node in graph.node):
        return
    editor = _Editor(graph, opset)
    old = list(graph.node)
    del graph.node[:]
    for node in old:
        rule = rules.get(node.op_type) if _domain(node) == domain else None
        if rule is None or not rule(editor, node):
            graph.node.append(node)


@dataclass
class _Editor:
    """Appends the nodes that replace one."""

    graph: onnx.GraphProto
    opset: int
    readers: dict[str, list[onnx.NodeProto]] = field(default_factory=dict)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}
        self._taken = {name for node in self.graph.node for name in (*node.input, *node.output)}
        self._taken |= set(self.constants) | {value.name for value in self.graph.input}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def add(self, op_type: str, inputs: list[str], at: onnx.NodeProto, output: str = "", **attributes: Any) -> str:
        """A node named after `at`; returns the name of its output, a new one unless given."""
        output = output or self._unique(f"{at.name}/{op_type}")
        self.graph.node.append(helper.make_node(op_type, inputs, [output], name=output, **attributes))
        return output

    def dequantise(self, at: onnx.NodeProto, value: str, scale: str, zero: str = "", *, axis: int | None = None) -> str:
        """DequantizeLinear; along `axis` unless the scale is known to be a single number."""
        size = self.size(scale)
        single = axis is None or size == 1 or (size is None and self.opset < _AXIS_OPSET)
        if not single and self.opset < _AXIS_OPSET:
            raise HetpartError(
                "opset-too-old", f"{at.op_type} '{at.name}' has a scale per channel, in a model of opset {self.opset}",
                node=at.name, hint=f"export the model with opset {_AXIS_OPSET} or later",
            )  # fmt: skip
        if zero and not single and self.size(zero) == 1:
            zero = self._repeated(at, zero, size or 1)
        attributes: dict[str, Any] = {} if single else {"axis": axis}
        return self.add("DequantizeLinear", [value, scale, *([zero] if zero else [])], at, **attributes)

    def quantise(self, at: onnx.NodeProto, value: str, scale: str, zero: str = "") -> None:
        """QuantizeLinear that makes the output of `at`."""
        self.add("QuantizeLinear", [value, scale, *([zero] if zero else [])], at, at.output[0])

    def number(self, at: onnx.NodeProto, number: float) -> str:
        """A float32 constant."""
        name = self._unique(f"{at.name}/number")
        self.graph.initializer.append(helper.make_tensor(name, TensorProto.FLOAT, (), [number]))
        return name

    def shape(self, value: str) -> tuple[int, ...] | None:
        """Of a constant, or of a large weight, which stands as a graph input."""
        if value in self.constants:
            return tuple(self.constants[value].dims)
        for known in self.graph.input:
            if known.name == value:
                return tuple(dim.dim_value for dim in known.type.tensor_type.shape.dim)
        return None

    def size(self, value: str) -> int | None:
        """Elements of a constant."""
        tensor = self.constants.get(value)
        return None if tensor is None else numpy_helper.to_array(tensor).size

    def _repeated(self, at: onnx.NodeProto, value: str, count: int) -> str:
        single = numpy_helper.to_array(self.constants[value]).reshape(-1)
        name = self._unique(f"{at.name}/zero_point")
        tensor = numpy_helper.from_array(single.repeat(count), name)
        self.graph.initializer.append(tensor)
        self.constants[name] = tensor
        return name

    def _unique(self, name: str) -> str:
        candidate, number = name, 1
        while candidate in self._taken:
            candidate, number = f"{name}_{number}", number + 1
        self._taken.add(candidate)
        return candidate


def _domain(node: onnx.NodeProto) -> str:
    return "" if node.domain == "ai.onnx" else node.domain


def _input(node: onnx.NodeProto, index: int) -> str:
    return node.input[index] if index < len(node.input) else ""


def _attributes(node: onnx.NodeProto, *without: str) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute if a.name not in without}


def _convolution(editor: _Editor, node: onnx.NodeProto) -> bool:
    """QLinearConv(x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias)."""
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, *bias = node.input
    inputs = [editor.dequantise(node, x, x_scale, x_zero), editor.dequantise(node, w, w_scale, w_zero, axis=0)]
    if bias and bias[0]:
        inputs.append(_bias(editor, node, bias[0], x_scale, w_scale))
    editor.quantise(node, editor.add("Conv", inputs, node, **_attributes(node)), y_scale, y_zero)
    return True


def _bias(editor: _Editor, node: onnx.NodeProto, bias: str, x_scale: str, w_scale: str) -> str:
    """int32 in units of input scale times weight scale; that product is folded with the other constants."""
    scale = editor.add("Mul", [x_scale, w_scale], node)
    along: dict[str, Any] = {} if editor.size(w_scale) in (None, 1) else {"axis": 0}
    return editor.add("DequantizeLinear", [bias, scale], node, **along)


def _matmul(editor: _Editor, node: onnx.NodeProto) -> bool:
    """QLinearMatMul(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero): rows of a, columns of b."""
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = node.input
    inputs = [
        editor.dequantise(node, a, a_scale, a_zero, axis=-2),
        editor.dequantise(node, b, b_scale, b_zero, axis=-1),
    ]
    editor.quantise(node, editor.add("MatMul", inputs, node), y_scale, y_zero)
    return True


def _gemm(editor: _Editor, node: onnx.NodeProto) -> bool:
    """QGemm(a, a_scale, a_zero, b, b_scale, b_zero, bias, y_scale, y_zero); float32 without the last two."""
    a, a_scale, a_zero, b, b_scale, b_zero = node.input[:6]
    attributes = _attributes(node)
    inputs = [
        editor.dequantise(node, a, a_scale, a_zero),
        editor.dequantise(node, b, b_scale, b_zero, axis=0 if attributes.get("transB", 0) else 1),
    ]
    if bias := _input(node, 6):
        if attributes.get("alpha", 1.0) != 1.0:
            return False
        inputs.append(_bias(editor, node, bias, a_scale, b_scale))
    if _input(node, 7):
        editor.quantise(node, editor.add("Gemm", inputs, node, **attributes), _input(node, 7), _input(node, 8))
    else:
        editor.add("Gemm", inputs, node, node.output[0], **attributes)
    return True


def _binary(op_type: str) -> Callable[[_Editor, onnx.NodeProto], bool]:
    """(a, a_scale, a_zero, b, b_scale, b_zero, c_scale, c_zero)."""

    def rewrite(editor: _Editor, node: onnx.NodeProto) -> bool:
        a, a_scale, a_zero, b, b_scale, b_zero, scale = node.input[:7]
        inputs = [editor.dequantise(node, a, a_scale, a_zero), editor.dequantise(node, b, b_scale, b_zero)]
        editor.quantise(node, editor.add(op_type, inputs, node), scale, _input(node, 7))
        return True

    return rewrite


def _unary(op_type: str) -> Callable[[_Editor, onnx.NodeProto], bool]:
    """(x, x_scale, x_zero, y_scale, y_zero), with the attributes of `op_type`; channels come second."""

    def rewrite(editor: _Editor, node: onnx.NodeProto) -> bool:
        attributes = _attributes(node)
        if attributes.get("channels_last", 0) or int(str(attributes.get("opset", 13))) < 13:
            return False
        x, x_scale, x_zero, y_scale = node.input[:4]
        kept = _attributes(node, "channels_last", "opset")
        value = editor.add(op_type, [editor.dequantise(node, x, x_scale, x_zero)], node, **kept)
        editor.quantise(node, value, y_scale, _input(node, 4))
        return True

    return rewrite


def _concat(editor: _Editor, node: onnx.NodeProto) -> bool:
    """QLinearConcat(y_scale, y_zero, and for each part x, x_scale, x_zero)."""
    parts = [editor.dequantise(node, *node.input[i : i + 3]) for i in range(2, len(node.input), 3)]
    editor.quantise(node, editor.add("Concat", parts, node, **_attributes(node)), *node.input[:2])
    return True


def _conversion(editor: _Editor, node: onnx.NodeProto) -> bool:
    """QuantizeLinear and DequantizeLinear of com.microsoft, which are those of ONNX."""
    axis = {k: v for k, v in _attributes(node).items() if k == "axis"} if editor.opset >= _AXIS_OPSET else {}
    editor.add(node.op_type, list(node.input), node, node.output[0], **axis)
    return True


def _integer_product(op_type: str) -> Callable[[_Editor, onnx.NodeProto], bool]:
    """ConvInteger, MatMulInteger(a, b, a_zero, b_zero) -> the product of reals with scale 1, as int32 again.

    Only where float32 can stand for the sum: it goes on as float32, or cannot reach 2^24. A zero point that is
    computed, as by DynamicQuantizeLinear, is subtracted in float32.
    """

    def rewrite(editor: _Editor, node: onnx.NodeProto) -> bool:
        a, b, a_zero, b_zero = (_input(node, i) for i in range(4))
        shape = editor.shape(b)
        if shape is None or (op_type == "MatMul" and len(shape) != 2):
            return False
        if editor.size(a_zero) not in (None, 1) or (b_zero and editor.size(b_zero) != 1):
            return False
        depth = shape[0] if op_type == "MatMul" else math.prod(shape[1:])
        outputs = {value.name for value in editor.graph.output}
        to_float = all(_casts_to_float(reader) for reader in editor.readers.get(node.output[0], []))
        if not (to_float and node.output[0] not in outputs) and depth * 255 * 255 >= _EXACT_SUM:
            return False
        one = editor.number(node, 1.0)
        if a_zero and a_zero not in editor.constants:
            reals = [editor.add("Cast", [value], node, to=TensorProto.FLOAT) for value in (a, a_zero)]
            left = editor.add("Sub", reals, node)
        else:
            left = editor.dequantise(node, a, one, a_zero)
        right = editor.dequantise(node, b, one, b_zero)
        total = editor.add(op_type, [left, right], node, **_attributes(node))
        editor.add("Cast", [total], node, node.output[0], to=TensorProto.INT32)
        return True

    return rewrite


def _casts_to_float(node: onnx.NodeProto) -> bool:
    return node.op_type == "Cast" and _attributes(node).get("to") == TensorProto.FLOAT


_Rule = Callable[[_Editor, onnx.NodeProto], bool]

_STANDARD_RULES: dict[str, _Rule] = {
    "ConvInteger": _integer_product("Conv"),
    "MatMulInteger": _integer_product("MatMul"),
    "QLinearConv": _convolution,
    "QLinearMatMul": _matmul,
}

_CONTRIB_RULES: dict[str, _Rule] = {
    "DequantizeLinear": _conversion,
    "QGemm": _gemm,
    "QLinearAdd": _binary("Add"),
    "QLinearAveragePool": _unary("AveragePool"),
    "QLinearConcat": _concat,
    "QLinearGlobalAveragePool": _unary("GlobalAveragePool"),
    "QLinearLeakyRelu": _unary("LeakyRelu"),
    "QLinearMul": _binary("Mul"),
    "QLinearSigmoid": _unary("Sigmoid"),
    "QLinearSoftmax": _unary("Softmax"),
    "QuantizeLinear": _conversion,
}
