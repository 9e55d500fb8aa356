"""Reading and rewriting a graph: constants, attributes, static types, and an `Editor` that keeps names unique.

Rewrites work in place. A node `Editor.become` another operator and keeps its name, its outputs and its position, so
that a trace of the compiled model still shows names of the original; what it needs is inserted before it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from hetpart.errors import InternalError

Array = np.ndarray[Any, np.dtype[Any]]


def constant(value: ir.Value | None) -> Array | None:
    """Data of an initialiser (memory-mapped if external; do not write to it), None for everything else."""
    if value is None or value.const_value is None or not value.is_initializer():
        return None
    data: Array = value.const_value.numpy()
    return data


def scalar(value: ir.Value | None) -> float | None:
    """The number in a one-element numeric initialiser, None for everything else."""
    if value is None or not value.is_initializer() or value.const_value is None or value.const_value.size != 1:
        return None
    return None if value.dtype == ir.DataType.STRING else float(value.const_value.numpy().reshape(()))


def integers(value: ir.Value | None) -> tuple[int, ...] | None:
    """The elements of an integer initialiser such as axes or a shape, None for everything else."""
    data = constant(value)
    return None if data is None or data.dtype.kind not in "iu" else tuple(int(i) for i in data.reshape(-1))


def operand(node: ir.Node, index: int) -> ir.Value | None:
    """Input `index` of a node, None where an optional input is left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def required(node: ir.Node, index: int) -> ir.Value:
    """Input `index` of a node whose operator cannot do without."""
    value = operand(node, index)
    if value is None:
        raise InternalError("missing-input", f"{node.op_type} has no input {index}", node=node.name)
    return value


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """Value of an attribute (sequences as tuples), or `default`."""
    found = node.attributes.get(name)
    if found is None:
        return default
    return tuple(found.value) if isinstance(found.value, Sequence) and not isinstance(found.value, str) else found.value


def shape_of(value: ir.Value) -> tuple[int, ...]:
    """Static shape; an imported model has one on every value."""
    shape = value.shape
    if shape is None or not shape.is_static():
        raise InternalError("dynamic-shape", f"a value has no static shape ({shape})", node=value.name)
    return shape.numpy()


def dtype_of(value: ir.Value) -> ir.DataType:
    """Element type; an imported model has one on every value."""
    if value.dtype is None:
        raise InternalError("missing-dtype", "a value has no dtype", node=value.name)
    return value.dtype


def is_float(value: ir.Value | None) -> bool:
    """True for float16, bfloat16, float32 and float64."""
    return value is not None and value.dtype in (
        ir.DataType.FLOAT,
        ir.DataType.FLOAT16,
        ir.DataType.BFLOAT16,
        ir.DataType.DOUBLE,
    )


def is_operator(node: ir.Node | None, *op_types: str) -> bool:
    """True for a node of the standard ONNX domain with one of these types."""
    return node is not None and node.domain == "" and node.op_type in op_types


def used_once(value: ir.Value) -> bool:
    """True if exactly one node reads `value`, once, and it is no graph output: it may vanish into its reader."""
    return len(value.uses()) == 1 and not value.is_graph_output()


def normalised_axes(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes without negative numbers, in ascending order."""
    return tuple(sorted(axis % rank for axis in axes)) if rank else tuple(axes)


def close(number: float | None, expected: float) -> bool:
    """Equal up to the rounding of a constant that an exporter printed in float32 (relative 1e-6)."""
    return number is not None and math.isclose(number, expected, rel_tol=1e-6)


class Editor:
    """Rewrites one graph. Create one per pass: it collects the names in use once."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self._values = {v.name for v in [*graph.inputs, *graph.initializers.values()]}
        self._values |= {v.name for node in graph for v in node.outputs}
        self._nodes = {node.name for node in graph}

    def node_name(self, near: ir.Node, op_type: str) -> str:
        """A new name for a node that is made of `near`."""
        return _unique(f"{near.name}/{op_type}", self._nodes)

    def value_name(self, name: str) -> str:
        """`name`, or `name` with a number if that is taken."""
        return _unique(name, self._values)

    @property
    def opset(self) -> int:
        """Version of the standard operators."""
        return self.graph.opset_imports[""]

    def constant(self, name: str, data: Array | ir.TensorProtocol) -> ir.Value:
        """A new initialiser called `name`, or `name` with a number if that is taken. A tensor is shared, not copied."""
        tensor = data if isinstance(data, ir.TensorProtocol) else ir.tensor(data)
        value = ir.Value(
            name=_unique(name, self._values),
            shape=ir.Shape(tensor.shape.numpy()),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self.graph.register_initializer(value)
        return value

    def number(self, name: str, number: float, like: ir.Value) -> ir.Value:
        """A new scalar initialiser of the dtype of `like`."""
        return self.constant(name, np.array(number, dtype=dtype_of(like).numpy()))

    def integers(self, name: str, numbers: Sequence[int]) -> ir.Value:
        """A new one-dimensional int64 initialiser."""
        return self.constant(name, np.array(numbers, dtype=np.int64))

    def insert(
        self,
        before: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
        *,
        shape: Sequence[int],
    ) -> ir.Value:
        """A new node in front of `before`, named after it; its output has `shape` and the dtype of the first input."""
        name = _unique(f"{before.name}/{op_type}", self._nodes)
        first = inputs[0]
        if first is None:
            raise InternalError("missing-input", f"a new {op_type} has no first input", node=name)
        node = ir.node(
            op_type,
            inputs,
            attributes,
            name=name,
            outputs=[ir.Value(name=_unique(name, self._values), shape=ir.Shape(tuple(shape)), type=first.type)],
        )
        self.graph.insert_before(before, node)
        return node.outputs[0]

    def become(
        self,
        node: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Make `node` another operator of the standard domain; name, first output and position stay."""
        node.domain = ""
        node.op_type = op_type
        node.resize_inputs(len(inputs))
        for index, value in enumerate(inputs):
            node.replace_input_with(index, value)
        node.resize_outputs(1)
        node.attributes.clear()
        for attr in ir.convenience.convert_attributes(attributes or {}):
            node.attributes.add(attr)

    def update(self, node: ir.Node, index: int, data: Array) -> None:
        """Give input `index` of `node`, an initialiser, other data of the same shape; other readers keep the old."""
        value = node.inputs[index]
        if value is not None and used_once(value):
            value.const_value = ir.tensor(data)
        else:
            node.replace_input_with(index, self.constant(f"{node.name}/{value.name if value else index}", data))

    def view(self, node: ir.Node, source: ir.Value) -> None:
        """Make `node` a Reshape of `source` to the shape that its output has."""
        shape = shape_of(node.outputs[0])
        attributes = {"allowzero": 1} if 0 in shape else {}
        self.become(node, "Reshape", [source, self.integers(f"{node.name}/shape", shape)], attributes)

    def set_integers(self, node: ir.Node, name: str, numbers: Sequence[int]) -> None:
        """Set an attribute that is a list of integers."""
        node.attributes.add(ir.AttrInt64s(name, tuple(numbers)))

    def replace_by_constants(self, node: ir.Node, tensors: Sequence[ir.TensorProtocol]) -> None:
        """Remove `node`; initialisers with the names of its outputs hold `tensors` instead."""
        for output, tensor in zip(node.outputs, tensors, strict=True):
            value = ir.Value(shape=ir.Shape(tensor.shape.numpy()), type=ir.TensorType(tensor.dtype), const_value=tensor)
            output.replace_all_uses_with(value, replace_graph_outputs=True)
            value.name, output.name = output.name, None
            if value.uses() or value.is_graph_output():
                self.graph.register_initializer(value)
        self.graph.remove(node, safe=True)

    def bypass(self, node: ir.Node, source: ir.Value) -> None:
        """Remove `node`, which only repeats `source`; a graph output keeps its name.

        Where a graph output repeats a graph input, a constant or another output, ONNX needs a node: a Reshape then.
        """
        result = node.outputs[0]
        if result.is_graph_output():
            if source.producer() is None or source.is_graph_output():
                self.view(node, source)
                return
            result.replace_all_uses_with(source, replace_graph_outputs=True)
            name = result.name
            self.graph.remove(node, safe=True)
            result.name = None
            source.name = name
        else:
            result.replace_all_uses_with(source)
            self.graph.remove(node, safe=True)


def _unique(name: str, taken: set[str | None]) -> str:
    candidate = name
    number = 1
    while candidate in taken:
        candidate = f"{name}_{number}"
        number += 1
    taken.add(candidate)
    return candidate
