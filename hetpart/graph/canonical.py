"""The contract between the passes and everything after them: `check_canonical` says whether a model keeps it.

In canonical form every value has a static shape and a dtype, nodes stand in topological order, and each computation
has one spelling; hetpart.passes.canonicalise establishes it. A violation is our own fault, never the user's.
"""

from __future__ import annotations

import onnx_ir as ir

from hetpart.errors import InternalError

FORBIDDEN = {
    "Constant": "constants are initialisers",
    "Identity": "readers read its input instead",
    "Dropout": "it does nothing at inference",
    "BatchNormalization": "it is folded, or written as Mul and Add",
    "Sum": "it is a chain of Add",
    "Mean": "it is a chain of Add and a Mul",
}
"""Operators without a place in canonical form, and what stands in their stead."""

PARAMETERS = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (0, 1),
}
"""Inputs that passes rewrite where they are initialisers: no two readers may share one."""


def check_canonical(model: ir.Model) -> None:
    """Raise unless `model` is in canonical form.

    Raises:
        InternalError: ``not-canonical``, naming the value or node.
    """
    if model.functions:
        raise _broken(next(iter(model.functions))[1], "functions are not inlined")
    graph = model.graph
    known: dict[str, ir.Value] = {}
    for value in (*graph.inputs, *graph.initializers.values()):
        _define(value, known)
    for name, value in graph.initializers.items():
        if value.const_value is None:
            raise _broken(name, "an initialiser has no data")
    names: set[str] = set()
    for node in graph:
        if not node.name or node.name in names:
            raise _broken(node.name or node.op_type, "a node name is missing or taken twice")
        names.add(node.name)
        _check_node(node, known)
        for value in node.outputs:
            if value.name:
                _define(value, known)
    for value in graph.outputs:
        if known.get(value.name or "") is not value:
            raise _broken(value.name, "nothing makes a graph output")


def _check_node(node: ir.Node, known: dict[str, ir.Value]) -> None:
    if not node.domain and node.op_type in FORBIDDEN:
        raise _broken(node.name, f"{node.op_type} is not canonical: {FORBIDDEN[node.op_type]}")
    if any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values()):
        raise _broken(node.name, f"{node.op_type} has a subgraph")
    for value in node.inputs:
        if value is not None and known.get(value.name or "") is not value:
            raise _broken(node.name, f"{node.op_type} reads '{value.name}' before it is made")
    for index in PARAMETERS.get(node.op_type, ()) if not node.domain else ():
        parameter = node.inputs[index] if index < len(node.inputs) else None
        if parameter is not None and parameter.is_initializer() and len(parameter.uses()) > 1:
            raise _broken(node.name, f"parameter '{parameter.name}' of {node.op_type} has other readers too")


def _define(value: ir.Value, known: dict[str, ir.Value]) -> None:
    """Take note of a value; an initialiser may be listed as an input as well."""
    if not value.name:
        raise _broken(None, "a value has no name")
    if known.setdefault(value.name, value) is not value:
        raise _broken(value.name, "two values have one name")
    if value.dtype is None:
        raise _broken(value.name, "a value has no dtype")
    if value.shape is None or not value.shape.is_static():
        raise _broken(value.name, f"a value has the shape {value.shape}, which is not static")


def _broken(node: str | None, message: str) -> InternalError:
    return InternalError("not-canonical", message, node=node)
