"""Writes several nodes in place of one: the small language in which decompositions are spelt.

    x = at.input(0)
    at.replace(at.op("Mul", x, at.op("Sigmoid", x)))

Types come from ONNX's own inference, node by node, so that a decomposition can look at the shapes it makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import defs, shape_inference

from hetpart.errors import InternalError
from hetpart.passes.edit import Array, Editor, attribute, constant, dtype_of, operand, shape_of

_PARAMETER_BYTES = 4096
"""Constants up to this size are shown to the inference: shapes, axes, bounds."""


class Block:
    """The nodes that replace `node`; they are inserted before it."""

    def __init__(self, editor: Editor, node: ir.Node) -> None:
        self.editor = editor
        self.node = node

    def input(self, index: int) -> ir.Value:
        """Input `index` of the node, which must be there."""
        value = operand(self.node, index)
        if value is None:
            raise InternalError("missing-input", f"input {index} is missing", node=self.node.name)
        return value

    def attribute(self, name: str, default: Any) -> Any:
        return attribute(self.node, name, default)

    def const(self, data: Array | np.generic | float | Sequence[int], like: ir.Value | None = None) -> ir.Value:
        """A constant: of the dtype of `like`, otherwise as numpy has it (lists of integers are int64)."""
        array = np.asarray(data, np.int64 if isinstance(data, list) else None)
        if like is not None:
            array = array.astype(dtype_of(like).numpy())
        return self.editor.constant(f"{self.node.name}/c", array)

    def op(self, op_type: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
        """The first output of a new node."""
        return self.ops(op_type, 1, *inputs, **attributes)[0]

    def ops(self, op_type: str, count: int, *inputs: ir.Value | None, **attributes: Any) -> tuple[ir.Value, ...]:
        """The `count` outputs of a new node."""
        node = ir.node(op_type, inputs, attributes, num_outputs=count, name=self.editor.node_name(self.node, op_type))
        for value in node.outputs:
            value.name = self.editor.value_name(node.name or op_type)
        self._infer(node)
        self.editor.graph.insert_before(self.node, node)
        return tuple(node.outputs)

    def cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """`value` as `dtype`."""
        return value if value.dtype == dtype else self.op("Cast", value, to=int(dtype))

    def reshape(self, value: ir.Value, shape: Sequence[int]) -> ir.Value:
        if tuple(shape) == shape_of(value):
            return value
        return self.op("Reshape", value, self.const(list(shape)))

    def slice(self, value: ir.Value, axis: int, start: int, end: int, step: int = 1) -> ir.Value:
        """Elements ``start:end:step`` along one axis."""
        return self.op(
            "Slice", value, self.const([start]), self.const([end]), self.const([axis]), self.const([step])
        )  # fmt: skip

    def replace(self, *values: ir.Value | None) -> bool:
        """Let `values` take the place of the node's outputs, None of one that nobody reads; returns True."""
        for old, new in zip(self.node.outputs, values, strict=False):
            if new is None or not (old.uses() or old.is_graph_output()):
                continue
            if old.is_graph_output():
                if new.is_initializer() or new.producer() is None or new.is_graph_output():
                    new = self.op("Reshape", new, self.const(list(shape_of(new))))
                name, old.name = old.name, None
                new.name = name
            old.replace_all_uses_with(new, replace_graph_outputs=True)
        self.editor.graph.remove(self.node, safe=True)
        return True

    def _infer(self, node: ir.Node) -> None:
        schema = defs.get_schema(node.op_type, self.editor.opset)
        types: dict[str, onnx.TypeProto] = {}
        data: dict[str, onnx.TensorProto] = {}
        for value in node.inputs:
            if value is None:
                continue
            if value.name is None:
                raise InternalError("missing-name", "a value has no name", node=node.name)
            types[value.name] = onnx.helper.make_tensor_type_proto(int(dtype_of(value)), shape_of(value))
            known = constant(value)
            if known is not None and known.nbytes <= _PARAMETER_BYTES:
                data[value.name] = onnx.numpy_helper.from_array(known, value.name)
        opsets = [onnx.helper.make_opsetid("", self.editor.opset)]
        found = shape_inference.infer_node_outputs(schema, ir.to_proto(node), types, data, opset_imports=opsets)
        for value in node.outputs:
            tensor = found[value.name or ""].tensor_type
            value.type = ir.TensorType(ir.DataType(tensor.elem_type))
            value.shape = ir.Shape([dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim])
