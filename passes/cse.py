"""cse: of nodes that compute the same value only the first one stays."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from hetpart.passes.base import Pass
from hetpart.passes.fold_constants import is_deterministic

_MAX_BYTES = 4096
"""Constants up to this size compare by content (shapes, bounds, channel vectors), larger ones by identity."""


def eliminate_common_subexpressions(graph: ir.Graph) -> bool:
    """Redirect readers of a repeated computation to the first one and remove the repetition."""
    first: dict[Hashable, ir.Node] = {}
    modified = False
    for node in graph:
        if not is_deterministic(node):
            continue
        original = first.setdefault(_key(node), node)
        if original is node or any(value.is_graph_output() for value in node.outputs):
            continue  # a graph output needs its own name, and so its own node
        ir.convenience.replace_all_uses_with(node.outputs, original.outputs)
        graph.remove(node, safe=True)
        modified = True
    return modified


def _key(node: ir.Node) -> Hashable:
    attributes = tuple((name, _attribute_key(node.attributes[name])) for name in sorted(node.attributes))
    inputs = tuple(_value_key(value) for value in node.inputs)
    return node.op_identifier(), len(node.outputs), inputs, attributes


def _value_key(value: ir.Value | None) -> Hashable:
    if value is None or not value.is_initializer() or value.const_value is None:
        return id(value)
    return _tensor_key(value.const_value)


def _attribute_key(attr: ir.Attr) -> Hashable:
    if attr.type == ir.AttributeType.TENSOR:
        return _tensor_key(attr.as_tensor())
    if attr.type in (ir.AttributeType.INTS, ir.AttributeType.FLOATS, ir.AttributeType.STRINGS):
        return attr.type, tuple(attr.value)
    if attr.type in (ir.AttributeType.INT, ir.AttributeType.FLOAT, ir.AttributeType.STRING):
        return attr.type, attr.value
    return id(attr)  # subgraphs, types: never equal


def _tensor_key(tensor: ir.TensorProtocol) -> Hashable:
    if tensor.nbytes > _MAX_BYTES or tensor.dtype == ir.DataType.STRING:
        return id(tensor)
    return tensor.dtype, tuple(tensor.shape), tensor.tobytes()


@dataclass(frozen=True)
class CommonSubexpressionElimination(Pass):
    """Computes every value once.

    Before::

        %a = Relu(%x)
        %b = Relu(%x)
        %y = Add(%a, %b)

    After::

        %a = Relu(%x)
        %y = Add(%a, %a)
    """

    name: ClassVar[str] = "cse"

    def apply(self, model: ir.Model) -> bool:
        return eliminate_common_subexpressions(model.graph)
