"""Sequences inside of a model, of known lengths and read at known places -> the tensors that they hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hetpart.frontend.opset import main_opset
from hetpart.frontend.simplify import infer_types


def resolve_sequences(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model`, its nodes named, without sequences; as it is where one of them depends on data or leaves the model.

    Raises:
        HetpartError: ``type-inference``.
    """
    if not any(node.op_type in _RULES for node in model.graph.node):
        return model
    typed = infer_types(model)
    resolver = _Resolver.of(typed)
    nodes: list[onnx.NodeProto] = []
    for node in typed.graph.node:
        rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if rule is None and resolver.sequences.keys().isdisjoint(node.input):
            nodes.append(node)
            continue
        try:
            nodes += rule(resolver, node) if rule is not None else _unknown()
        except _UnknownError:
            return model
    if not resolver.sequences.keys().isdisjoint(value.name for value in typed.graph.output):
        return model
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del typed.graph.node[:]
    typed.graph.node.extend(kept)
    typed.graph.initializer.extend(resolver.made)
    del typed.graph.value_info[:]
    return typed


class _UnknownError(Exception):
    """Something is not known before run time."""


def _unknown() -> list[onnx.NodeProto]:
    raise _UnknownError


@dataclass
class _Resolver:
    """What is known of a model.

    Attributes:
        opset: of its operators.
        shapes: of its tensors, where static.
        constants: data of its initialisers and constants.
        sequences: for each sequence the names of its tensors.
        made: new initialisers.
    """

    opset: int
    shapes: dict[str, tuple[int, ...]]
    constants: dict[str, np.ndarray]
    sequences: dict[str, list[str]] = field(default_factory=dict)
    made: list[onnx.TensorProto] = field(default_factory=list)

    @classmethod
    def of(cls, model: onnx.ModelProto) -> _Resolver:
        graph = model.graph
        shapes = {}
        for value in (*graph.input, *graph.value_info):
            dims = value.type.tensor_type.shape.dim
            if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
                shapes[value.name] = tuple(dim.dim_value for dim in dims)
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        return cls(main_opset(model), shapes, constants)

    def items(self, name: str) -> list[str]:
        if name not in self.sequences:
            raise _UnknownError
        return self.sequences[name]

    def place(self, node: onnx.NodeProto, index: int, count: int, default: int) -> int:
        """The position that input `index` gives, in a sequence of `count`; negative ones count from its end."""
        if index >= len(node.input) or not node.input[index]:
            return default
        if node.input[index] not in self.constants:
            raise _UnknownError
        at = int(self.constants[node.input[index]].reshape(-1)[0])
        if not -count <= at <= count:
            raise _UnknownError
        return at + count if at < 0 else at

    def constant(self, name: str, data: np.ndarray) -> str:
        self.made.append(numpy_helper.from_array(data, name))
        return name


def _empty(at: _Resolver, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    at.sequences[node.output[0]] = []
    return []


def _construct(at: _Resolver, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    at.sequences[node.output[0]] = list(node.input)
    return []


def _insert(at: _Resolver, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    items = at.items(node.input[0])
    place = at.place(node, 2, len(items), len(items))
    at.sequences[node.output[0]] = [*items[:place], node.input[1], *items[place:]]
    return []


def _erase(at: _Resolver, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    items = at.items(node.input[0])
    place = at.place(node, 1, len(items), len(items) - 1)
    if not 0 <= place < len(items):
        raise _UnknownError
    at.sequences[node.output[0]] = items[:place] + items[place + 1 :]
    return []


def _at(at: _Resolver, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    items = at.items(node.input[0])
    place = at.place(node, 1, len(items), 0)
    if place >= len(items):
        raise _UnknownError
    return [helper.make_node("Identity", [items[place]], [node.output[0]], node.name)]


def _length(at: _Resolver, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    length = at.constant(f"{node.name}/length", np.array(len(at.items(node.input[0])), np.int64))
    return [helper.make_node("Identity", [length], [node.output[0]], node.name)]


def _split(at: _Resolver, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """SplitToSequence: by one size, by a size for each part, or into slices of one, with or without their axis."""
    data, given = node.input[0], node.input[1] if len(node.input) > 1 else ""
    if data not in at.shapes or (given and given not in at.constants):
        raise _UnknownError
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    shape = at.shapes[data]
    axis = attributes.get("axis", 0) % len(shape)
    sizes = np.array(1) if not given else at.constants[given]
    if sizes.ndim == 0:
        starts = list(range(0, shape[axis], max(1, int(sizes))))
        ends = [*starts[1:], shape[axis]]
    else:
        ends = np.cumsum(sizes).tolist()
        starts = [0, *ends[:-1]]
    parts = [f"{node.name}/{index}" for index in range(len(starts))]
    at.sequences[node.output[0]] = parts
    if not given and not attributes.get("keepdims", 1):
        places = [at.constant(f"{part}/at", np.array(i, np.int64)) for i, part in enumerate(parts)]
        return [
            helper.make_node("Gather", [data, i], [part], part, axis=axis)
            for i, part in zip(places, parts, strict=True)
        ]
    axes = at.constant(f"{node.name}/axes", np.array([axis], np.int64))
    nodes = []
    for start, end, part in zip(starts, ends, parts, strict=True):
        bounds = [at.constant(f"{part}/{n}", np.array([b], np.int64)) for n, b in (("start", start), ("end", end))]
        nodes.append(helper.make_node("Slice", [data, *bounds, axes], [part], part))
    return nodes


def _concat(at: _Resolver, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """ConcatFromSequence, along an axis that is there or a new one."""
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    axis, items = attributes["axis"], at.items(node.input[0])
    nodes: list[onnx.NodeProto] = []
    if not items:
        raise _UnknownError
    if attributes.get("new_axis", 0):
        further = [] if at.opset < 13 else [at.constant(f"{node.name}/axes", np.array([axis], np.int64))]
        parts = [f"{node.name}/{index}" for index in range(len(items))]
        for item, part in zip(items, parts, strict=True):
            nodes.append(helper.make_node("Unsqueeze", [item, *further], [part], part))
            if not further:
                nodes[-1].attribute.append(helper.make_attribute("axes", [axis]))
        items = parts
    return [*nodes, helper.make_node("Concat", items, [node.output[0]], node.name, axis=axis)]


_RULES: dict[str, Callable[[_Resolver, onnx.NodeProto], list[onnx.NodeProto]]] = {
    "ConcatFromSequence": _concat,
    "SequenceAt": _at,
    "SequenceConstruct": _construct,
    "SequenceEmpty": _empty,
    "SequenceErase": _erase,
    "SequenceInsert": _insert,
    "SequenceLength": _length,
    "SplitToSequence": _split,
}
