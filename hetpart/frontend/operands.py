"""Refuse nodes whose operands do not fit together in ways that ONNX's checker and its type inference let pass."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import onnx
from onnx import helper

from hetpart.errors import HetpartError

Shapes = Mapping[str, tuple[int, ...]]


def check_operands(graph: onnx.GraphProto) -> None:
    """Refuse operands of impossible sizes; `graph` has static types on all values.

    Raises:
        HetpartError: ``operand-mismatch``.
    """
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    } | {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        for what, found, wanted in _CHECKS.get(node.op_type, _nothing)(node, shapes):
            if found != wanted:
                raise HetpartError(
                    "operand-mismatch", f"{node.op_type} '{node.name}' has {what} {found}, which should be {wanted}",
                    node=node.name, hint="the file contradicts itself: export the model again",
                )  # fmt: skip


Found = Iterator[tuple[str, object, object]]
"""What it is, its value, and the one that fits."""


def _nothing(node: onnx.NodeProto, shapes: Shapes) -> Found:
    yield from ()


def _convolution(node: onnx.NodeProto, shapes: Shapes) -> Found:
    channels, weight = shapes[node.input[0]][1], shapes[node.input[1]]
    group = _attribute(node, "group", 1)
    transposed = node.op_type == "ConvTranspose"
    if group < 1:
        yield "groups", group, 1
    inside, outside = (weight[0], weight[1] * group) if transposed else (weight[1] * group, weight[0])
    yield "weights for this number of channels:", inside, channels
    yield "channels beyond whole groups:", (inside % group, outside % group), (0, 0)
    yield "kernel_shape", list(_attribute(node, "kernel_shape", weight[2:])), list(weight[2:])
    if len(node.input) > 2 and node.input[2]:
        yield "a bias of shape", shapes[node.input[2]], (outside,)


def _per_channel(node: onnx.NodeProto, shapes: Shapes) -> Found:
    for name in node.input[1:]:
        yield f"'{name}' of shape", shapes[name], shapes[node.input[0]][1:2]


def _reshape(node: onnx.NodeProto, shapes: Shapes) -> Found:
    yield "this number of elements to make:", math.prod(shapes[node.output[0]]), math.prod(shapes[node.input[0]])


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    found = next((attribute for attribute in node.attribute if attribute.name == name), None)
    return default if found is None else helper.get_attribute_value(found)


_CHECKS = {
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "InstanceNormalization": _per_channel,
    "Reshape": _reshape,
}
