"""How much a unit computes and moves, counted from shapes alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked, Layout
from hetpart.graph.units import TensorType, Unit, UnitGraph


@dataclass(frozen=True)
class Work:
    """The work of one unit.

    Attributes:
        macs: multiply-adds of its matrix products and convolutions; elementwise arithmetic is not counted.
        read_bytes: activations, weights and constants read; what a unit passes over twice counts twice.
        write_bytes: outputs written, halos included.
        constant_bytes: the part of `read_bytes` that is weights and constants.
        kernel_class: one of `hetpart.targets.schema.COMPUTE_CLASSES`, `INT8_CLASSES` or `MEMORY_CLASSES`; ``view``
            moves nothing.
        utilisation: share of vector lanes that compute valid channels; below 1 where the last block is partly spare.
        half: whether it multiplies numbers that are stored in float16, weights too.
        pixels: of an output map of a convolution or a transposed one; 0 for others.
    """

    macs: int
    read_bytes: int
    write_bytes: int
    kernel_class: str
    utilisation: float = 1.0
    half: bool = False
    constant_bytes: int = 0
    pixels: int = 0


def work(unit: Unit, graph: UnitGraph, layouts: Mapping[str, Layout] | None = None, *, half: bool = False) -> Work:
    """The work of `unit`; a value without a layout counts with its logical size.

    `half` says that weights are stored in float16 (see `hetpart.graph.assign.Assignment`).
    """
    layouts = layouts or {}
    if unit.kind == "view":
        return Work(0, 0, 0, "view")
    macs = sum(node_macs(node, graph) for node in unit.nodes)
    half = half and multiplies_half(unit, layouts)
    read, written = activation_bytes(unit, graph, layouts)
    constants = 0 if _reads_in_part(unit) else _constant_bytes(unit, graph) // (2 if half else 1)
    passes = _PASSES.get(unit.kind, 1)
    return Work(
        macs=macs,
        read_bytes=(read + constants) * passes,
        write_bytes=written,
        kernel_class=_kernel_class(unit, macs, graph),
        utilisation=_utilisation(unit, layouts) if macs else 1.0,
        half=half,
        constant_bytes=constants * passes,
        pixels=math.prod(graph.types[unit.outputs[0]].shape[2:]) if unit.kind in _MAP_KINDS else 0,
    )


def activation_bytes(unit: Unit, graph: UnitGraph, layouts: Mapping[str, Layout]) -> tuple[int, int]:
    """Bytes of activations read and written, each value once; halos and spare lanes included where there is a layout.

    What picks values out of its data, constants included, reads no more than it writes and its indices.
    """
    written = sum(_value_bytes(value, graph, layouts) for value in unit.outputs)
    read = sum(_value_bytes(value, graph, layouts) for value in unit.inputs)
    if unit.kind == "channels":
        read = min(read, written)
    elif _reads_in_part(unit):
        indices = sum(_indices_bytes(value, graph) for value in unit.anchor.inputs[1:])
        read = min(read + _constant_bytes(unit, graph), written + indices)
    return read, written


def node_macs(node: ir.Node, graph: UnitGraph) -> int:
    """Multiply-adds of one ONNX node; 0 for what is no convolution or matrix product."""
    return _MACS[node.op_type](node, graph) if node.op_type in _MACS else 0


_PASSES = {"softmax": 2, "layer_norm": 2, "instance_norm": 2}
"""Kinds that read their input more than once: statistics first, then values."""

_PARTIAL_READERS = frozenset({"Gather", "GatherElements", "GatherND", "Slice", "Split"})
"""Operators that read as much of their data as they write, not all of it."""


def _reads_in_part(unit: Unit) -> bool:
    return bool(unit.nodes) and unit.anchor.op_type in _PARTIAL_READERS


_CLASS_OF_KIND = {
    "conv_transpose": "conv_transpose",
    "dense": "dense",
    "qdense": "int8_dense",
    "matmul": "matmul",
    "softmax": "norm",
    "layer_norm": "norm",
    "instance_norm": "norm",
}


_MAP_KINDS = frozenset({"conv", "qconv", "conv_transpose"})


def multiplies_half(unit: Unit, layouts: Mapping[str, Layout]) -> bool:
    """Whether the CPU's kernel multiplies in float16, in a network that is compiled to float16."""
    if unit.kind == "matmul":
        return all(value in layouts and layouts[value].dtype == "float16" for value in unit.inputs[:2])
    return unit.kind in ("conv", "dense")


def _kernel_class(unit: Unit, macs: int, graph: UnitGraph) -> str:
    if unit.kind == "other":
        return "generic" if macs else "generic_memory"
    if unit.kind not in ("conv", "qconv"):
        return _CLASS_OF_KIND.get(unit.kind, "memory")
    data, weight = (_type(value, graph).shape for value in unit.anchor.inputs[:2])
    group = unit.anchor.attributes.get_int("group", 1)
    if unit.kind == "qconv":
        return "int8_depthwise" if group > 1 and group == data[1] == weight[0] else "int8_conv"
    if group > 1:
        return "depthwise" if group == data[1] == weight[0] else "conv_grouped"
    if math.prod(weight[2:]) == 1:
        return "conv1x1"
    strides = unit.anchor.attributes.get_ints("strides", (1, 1))
    dilations = unit.anchor.attributes.get_ints("dilations", (1, 1))
    return "conv3x3" if weight[2:] == (3, 3) and {*strides, *dilations} == {1} else "conv"


def _utilisation(unit: Unit, layouts: Mapping[str, Layout]) -> float:
    layout = layouts.get(unit.outputs[0])
    return layout.c / (layout.blocks * layout.block) if isinstance(layout, Blocked) else 1.0


def _conv_macs(node: ir.Node, graph: UnitGraph) -> int:
    """Every output element sums over one filter: weight (c_out, c_in / group, k...)."""
    return math.prod(_type(node.outputs[0], graph).shape) * math.prod(_type(node.inputs[1], graph).shape[1:])


def _conv_transpose_macs(node: ir.Node, graph: UnitGraph) -> int:
    """Every input element is scattered by one filter: weight (c_in, c_out / group, k...)."""
    return math.prod(_type(node.inputs[0], graph).shape) * math.prod(_type(node.inputs[1], graph).shape[1:])


def _gemm_macs(node: ir.Node, graph: UnitGraph) -> int:
    left = _type(node.inputs[0], graph).shape
    depth = left[0] if node.attributes.get_int("transA", 0) else left[1]
    return math.prod(_type(node.outputs[0], graph).shape) * depth


def _matmul_macs(node: ir.Node, graph: UnitGraph) -> int:
    return math.prod(_type(node.outputs[0], graph).shape) * _type(node.inputs[0], graph).shape[-1]


_MACS: dict[str, Callable[[ir.Node, UnitGraph], int]] = {
    "Conv": _conv_macs,
    "ConvTranspose": _conv_transpose_macs,
    "Gemm": _gemm_macs,
    "MatMul": _matmul_macs,
}


def _type(value: ir.Value | None, graph: UnitGraph) -> TensorType:
    """Static type of an activation or an initialiser."""
    if value is None or value.name is None:
        raise InternalError("missing-input", "an operator lacks an input that its work depends on")
    if value.name in graph.types:
        return graph.types[value.name]
    if value.shape is None or value.dtype is None or not value.shape.is_static():
        raise InternalError("untyped-value", "a value has no static type", node=value.name)
    return TensorType(tuple(int(n) for n in value.shape.numpy()), str(value.dtype.numpy()))


def _value_bytes(name: str, graph: UnitGraph, layouts: Mapping[str, Layout]) -> int:
    return layouts[name].size_bytes if name in layouts else graph.types[name].size_bytes


def _constant_bytes(unit: Unit, graph: UnitGraph) -> int:
    names = {v.name for node in unit.nodes for v in node.inputs if v is not None and v.name is not None}
    constants = graph.model.graph.initializers
    return sum(_type(constants[name], graph).size_bytes for name in sorted(names) if name in constants)


def _indices_bytes(value: ir.Value | None, graph: UnitGraph) -> int:
    return 0 if value is None or not value.name else _type(value, graph).size_bytes
