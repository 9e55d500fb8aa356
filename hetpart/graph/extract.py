"""Cuts a unit out of a model as an ONNX model of its own: what a reference or an importer runs.

An extracted model holds the very nodes of the whole one, so onnxruntime without optimisations computes the same bits.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper

from hetpart.errors import InternalError
from hetpart.graph.units import Unit, UnitGraph


def unit_model(graph: UnitGraph, unit: Unit) -> onnx.ModelProto:
    """`unit` alone: its inputs and outputs in the unit's order, the constants it reads as initialisers.

    Raises:
        InternalError: ``no-onnx-nodes`` for a repack unit, ``undeclared-read`` if the unit reads what it does not list.
    """
    if not unit.nodes:
        raise InternalError("no-onnx-nodes", f"a {unit.kind} unit cannot be cut out as ONNX", node=unit.name)
    available = set(unit.inputs)
    constants: dict[str, onnx.TensorProto] = {}
    for node in unit.nodes:
        for value in (value.name for value in node.inputs if value is not None and value.name):
            if value in available or value in constants:
                continue
            if not graph.is_constant(value):
                raise InternalError("undeclared-read", f"the unit reads '{value}', unlisted", node=unit.name)
            constants[value] = _initializer(graph, value)
        available.update(value.name for value in node.outputs if value.name)
    body = helper.make_graph(
        [ir.to_proto(node) for node in unit.nodes],
        unit.name,
        [_value_info(graph, value) for value in unit.inputs],
        [_value_info(graph, value) for value in unit.outputs],
        initializer=list(constants.values()),
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in graph.model.opset_imports.items()]
    return helper.make_model(body, opset_imports=opsets, ir_version=graph.model.ir_version, producer_name="hetpart")


def _initializer(graph: UnitGraph, value: str) -> onnx.TensorProto:
    """The constant with its data inside, wherever they lay, under the name of the value (tensors may be shared)."""
    tensor = graph.model.graph.initializers[value].const_value
    dtype = None if tensor is None else tensor.dtype
    return ir.to_proto(ir.Tensor(graph.constant(value), dtype=dtype, name=value))


def _value_info(graph: UnitGraph, value: str) -> onnx.ValueInfoProto:
    kind = graph.types[value]
    return helper.make_tensor_value_info(value, ir.DataType.from_numpy(np.dtype(kind.dtype)), kind.shape)
