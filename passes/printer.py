"""A model as short, deterministic text: one node per line. For ``--print-after`` and golden tests.

Example::

    input %x: f32[1,3,8,8]
    const @w: f32[4,3,3,3]
    const @lo: f32[] = 0
    %c: f32[1,4,6,6] = Conv(%x, @w) {strides=[1,1]}
    %y: f32[1,4,6,6] = Clip(%c, @lo, _)
    output %y
"""

from __future__ import annotations

import onnx_ir as ir

_SHORT_DTYPE = {
    ir.DataType.FLOAT: "f32", ir.DataType.FLOAT16: "f16", ir.DataType.BFLOAT16: "bf16", ir.DataType.DOUBLE: "f64",
    ir.DataType.INT8: "i8", ir.DataType.INT16: "i16", ir.DataType.INT32: "i32", ir.DataType.INT64: "i64",
    ir.DataType.UINT8: "u8", ir.DataType.UINT16: "u16", ir.DataType.UINT32: "u32", ir.DataType.UINT64: "u64",
    ir.DataType.BOOL: "bool",
}  # fmt: skip

_MAX_ELEMENTS = 8
"""Constants with at most that many elements are printed with their data."""


def print_model(model: ir.Model) -> str:
    """The main graph of `model` as text: inputs, constants, nodes in order, outputs."""
    graph = model.graph
    lines = [f"input {_typed(value)}" for value in graph.inputs if value.name not in graph.initializers]
    for value in graph.initializers.values():
        lines.append(f"const {_typed(value)}{_data(value)}")
    for node in graph:
        outputs = ", ".join(_typed(value) for value in node.outputs)
        operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        lines.append(f"{outputs} = {operator}({', '.join(_name(value) for value in node.inputs)}){_attributes(node)}")
    lines += [f"output {_name(value)}" for value in graph.outputs]
    return "\n".join(lines) + "\n"


def _name(value: ir.Value | None) -> str:
    if value is None or not value.name:
        return "_"
    return ("@" if value.is_initializer() else "%") + value.name


def _typed(value: ir.Value) -> str:
    if not value.name:
        return "_"
    dtype = "?" if value.dtype is None else _SHORT_DTYPE.get(value.dtype, value.dtype.name.lower())
    shape = "?" if value.shape is None else ",".join(str(d) for d in value.shape)
    return f"{_name(value)}: {dtype}[{shape}]"


def _data(value: ir.Value) -> str:
    tensor = value.const_value
    if tensor is None or tensor.size > _MAX_ELEMENTS or tensor.dtype == ir.DataType.STRING:
        return ""
    return " = " + _text(tensor.numpy().tolist())


def _attributes(node: ir.Node) -> str:
    if not node.attributes:
        return ""
    return " {" + ", ".join(f"{name}={_text(node.attributes[name].value)}" for name in sorted(node.attributes)) + "}"


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_text(item) for item in value) + "]"
    if isinstance(value, ir.TensorProtocol):
        return f"tensor{list(value.shape)}".replace(" ", "")
    if isinstance(value, ir.Graph):
        return f"graph '{value.name}'"
    return str(value)
