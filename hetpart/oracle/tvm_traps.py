"""Attributes with which TVM's importer is wrong or gives up although it knows the operator.

Each trap is one small function from a node to a sentence (None: not trapped). Most of these import and run without
complaint and give wrong values. Source: see hetpart.oracle.tvm_ops; the failing tests were sorted by attribute.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from hetpart.graph.units import UnitGraph

Trap = Callable[[ir.Node, UnitGraph], str | None]


def dtype_of(value: ir.Value | None, graph: UnitGraph) -> str:
    """Numpy name of a value's element type; empty for an input that is left out."""
    if value is None or not value.name:
        return ""
    if value.name in graph.types:
        return graph.types[value.name].dtype
    return str(value.dtype.numpy()) if value.dtype is not None else ""


def _input(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def _batch_normalization(node: ir.Node, graph: UnitGraph) -> str | None:
    if node.attributes.get_int("training_mode", 0) != 0:
        return "BatchNormalization in training mode"
    return None


def _conv_transpose(node: ir.Node, graph: UnitGraph) -> str | None:
    if "output_shape" in node.attributes:
        return "ConvTranspose with output_shape: the result has another shape"
    return None


def _dequantize_linear(node: ir.Node, graph: UnitGraph) -> str | None:
    kind = dtype_of(_input(node, 0), graph)
    if kind not in ("int8", "uint8", "int32") or node.attributes.get_int("block_size", 0) != 0:
        return f"DequantizeLinear of {kind}, or by blocks"
    return None


def _eye_like(node: ir.Node, graph: UnitGraph) -> str | None:
    if dtype_of(_input(node, 0), graph) != dtype_of(node.outputs[0], graph):
        return "EyeLike that changes the type"
    return None


def _is_inf(node: ir.Node, graph: UnitGraph) -> str | None:
    if 0 in (node.attributes.get_int("detect_negative", 1), node.attributes.get_int("detect_positive", 1)):
        return "IsInf of one sign only: the attribute is ignored"
    return None


def _later_outputs(node: ir.Node, graph: UnitGraph) -> str | None:
    if any(value.name for value in node.outputs[1:]):
        return f"{node.op_type} with more than its first output"
    return None


def _mod(node: ir.Node, graph: UnitGraph) -> str | None:
    if node.attributes.get_int("fmod", 0) != 0:
        return "Mod with fmod: wrong for infinite and zero divisors"
    return None


def _one_hot(node: ir.Node, graph: UnitGraph) -> str | None:
    kind = dtype_of(node.outputs[0], graph)
    return f"OneHot of {kind} values: the result has another type" if kind != "int64" else None


def _pow(node: ir.Node, graph: UnitGraph) -> str | None:
    if dtype_of(_input(node, 0), graph) != dtype_of(_input(node, 1), graph):
        return "Pow of two different types"
    return None


def _quantize_linear(node: ir.Node, graph: UnitGraph) -> str | None:
    kind = dtype_of(node.outputs[0], graph)
    if kind not in ("int8", "uint8") or node.attributes.get_int("block_size", 0) != 0:
        return f"QuantizeLinear to {kind}, or by blocks"
    return None


def _reduce_bool(node: ir.Node, graph: UnitGraph) -> str | None:
    return f"{node.op_type} of booleans" if dtype_of(_input(node, 0), graph) == "bool" else None


def _resize(node: ir.Node, graph: UnitGraph) -> str | None:
    for flag in ("antialias", "exclude_outside"):
        if node.attributes.get_int(flag, 0) != 0:
            return f"Resize with {flag}: the attribute is ignored"
    if "axes" in node.attributes:
        return "Resize with axes"
    if node.attributes.get_string("keep_aspect_ratio_policy", "stretch") != "stretch":
        return "Resize with keep_aspect_ratio_policy"
    if node.attributes.get_string("coordinate_transformation_mode", "half_pixel") == "half_pixel_symmetric":
        return "Resize with half_pixel_symmetric coordinates"
    scales, data = _input(node, 2), _input(node, 0)
    if scales is None or not scales.name or data is None or not graph.is_constant(scales.name):
        return None
    sizes = graph.constant(scales.name) * np.asarray(graph.types[data.name or ""].shape)
    if scales.name and np.any(sizes != np.floor(sizes)):
        return "Resize by scales that do not give whole sizes: coordinates are off"
    return None


def _space_to_depth(node: ir.Node, graph: UnitGraph) -> str | None:
    if node.attributes.get_string("mode", "DCR") != "DCR":
        return "SpaceToDepth with mode CRD: the attribute is ignored"
    return None


TRAPS: dict[str, Trap] = {
    "BatchNormalization": _batch_normalization,
    "ConvTranspose": _conv_transpose,
    "DequantizeLinear": _dequantize_linear,
    "EyeLike": _eye_like,
    "IsInf": _is_inf,
    "LayerNormalization": _later_outputs,
    "MaxPool": _later_outputs,
    "Mod": _mod,
    "OneHot": _one_hot,
    "Pow": _pow,
    "QuantizeLinear": _quantize_linear,
    "ReduceMax": _reduce_bool,
    "ReduceMin": _reduce_bool,
    "Resize": _resize,
    "SpaceToDepth": _space_to_depth,
}
"""Operators that are right except for their trap."""
