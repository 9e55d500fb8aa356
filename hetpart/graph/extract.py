"""Cut units out of a model as ONNX models of their own: what a reference, an importer or a bug report runs.

An extracted model holds the very nodes of the whole one, so onnxruntime without optimisations computes the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    return _extract(graph, unit.name, (unit,), unit.inputs, unit.outputs)


def segment_model(graph: UnitGraph, units: Sequence[Unit]) -> onnx.ModelProto:
    """Several units, given in topological order, as one model.

    Its inputs are the values that they read and none of them makes, in order of first use; its outputs those of their
    outputs that other units read or that are graph outputs.

    Raises:
        InternalError: as `unit_model`; or ``empty-segment``.
    """
    if not units:
        raise InternalError("empty-segment", "a segment needs at least one unit")
    inside = {unit.name for unit in units}
    made = [value for unit in units for value in unit.outputs]
    inputs = dict.fromkeys(value for unit in units for value in unit.inputs if value not in made)
    results = set(graph.outputs)
    outputs = [v for v in made if v in results or not inside.issuperset(graph.consumers.get(v, ()))]
    return _extract(graph, units[0].name, units, tuple(inputs), tuple(outputs))


def _extract(
    graph: UnitGraph, name: str, units: Sequence[Unit], inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    available = set(inputs)
    constants: dict[str, onnx.TensorProto] = {}
    nodes = []
    for unit in units:
        if not unit.nodes:
            raise InternalError("no-onnx-nodes", f"a {unit.kind} unit cannot be cut out as ONNX", node=unit.name)
        for node in unit.nodes:
            for value in (value.name for value in node.inputs if value is not None and value.name):
                if value in available or value in constants:
                    continue
                if not graph.is_constant(value):
                    raise InternalError("undeclared-read", f"the unit reads '{value}', unlisted", node=unit.name)
                constants[value] = _initializer(graph, value)
            available.update(value.name for value in node.outputs if value.name)
            nodes.append(ir.to_proto(node))
    body = helper.make_graph(
        nodes,
        name,
        [_value_info(graph, value) for value in inputs],
        [_value_info(graph, value) for value in outputs],
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
