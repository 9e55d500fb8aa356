"""Small unit graphs from ONNX text, without the frontend and the passes."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir

from hetpart.graph.units import Unit, UnitGraph
from hetpart.passes.fuse import fuse

HEADER = '<ir_version: 10, opset_import: ["" : 20, "com.example" : 1]>\n'


def units_of(text: str, **constants: tuple[int, ...] | np.ndarray | np.generic) -> UnitGraph:
    """Fused units of the graph in ONNX text form; its types must be complete where inference cannot tell.

    Args:
        text: ``name (inputs) => (outputs) <value infos> { nodes }``.
        constants: initialisers, as arrays, scalars or as the shapes of float32 zeros.
    """
    model = onnx.parser.parse_model(HEADER + text)
    for name, value in constants.items():
        data = np.zeros(value, np.float32) if isinstance(value, tuple) else np.asarray(value)
        model.graph.initializer.append(onnx.numpy_helper.from_array(data, name))
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    return fuse(ir.from_proto(model))


def only(graph: UnitGraph) -> Unit:
    """The one unit of `graph`."""
    (unit,) = graph
    return unit
