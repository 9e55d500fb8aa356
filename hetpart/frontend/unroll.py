"""Scan, and Loop of a known number of rounds -> their bodies, once per round: a static schedule has no loops.

Each round gets names of its own; a body's constants are there once. What a body reads from around it stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hetpart.errors import HetpartError
from hetpart.frontend.simplify import infer_types

MOST_NODES = 20_000
"""Nodes that one loop may become; the largest networks have a tenth of that."""


def unroll(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model`, its nodes named, with its loops unrolled, inner ones too; loops whose rounds depend on data stay.

    Raises:
        HetpartError: ``long-loop`` where that makes more than `MOST_NODES` nodes; ``type-inference``.
    """
    while any(node.op_type in _RULES for node in model.graph.node):
        model = infer_types(model)
        editor = _Editor.of(model.graph)
        modified = False
        old = list(model.graph.node)
        del model.graph.node[:]
        for node in old:
            rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
            if rule is not None and rule(editor, node):
                modified = True
            else:
                model.graph.node.append(node)
        if not modified:
            break
    return model


@dataclass
class _Editor:
    """Appends the nodes that replace a loop.

    Attributes:
        graph: what they are appended to.
        shapes: of all values, None where a size or the rank is unknown.
        constants: data of the initialisers.
    """

    graph: onnx.GraphProto
    shapes: dict[str, tuple[int, ...] | None]
    constants: dict[str, np.ndarray]

    @classmethod
    def of(cls, graph: onnx.GraphProto) -> _Editor:
        shapes = {value.name: _static_shape(value) for value in (*graph.input, *graph.value_info, *graph.output)}
        shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and (tensor := _attributes(node).get("value")) is not None:
                constants[node.output[0]] = numpy_helper.to_array(tensor)
        return cls(graph, shapes, constants)

    def add(self, op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.graph.node.append(helper.make_node(op_type, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, data: np.ndarray) -> str:
        self.graph.initializer.append(numpy_helper.from_array(data, name))
        self.constants[name] = data
        return name

    def rounds(
        self, node: onnx.NodeProto, body: onnx.GraphProto, count: int, states: Sequence[str],
        further: Callable[[int], tuple[list[str], list[str]]], *, skip: int = 0,
    ) -> tuple[list[str], list[list[str]]]:  # fmt: skip
        """The body `count` times: (last states, for each scan output the values of all rounds).

        Args:
            node: the loop.
            body: its graph: inputs are states after `skip` others of Loop, outputs are states after `skip` others.
            states: what the states begin with.
            further: ``further(round)``, the other inputs: those before the states, those behind them.
        """
        if count * len(body.node) > MOST_NODES:
            raise HetpartError(
                "long-loop", f"{node.op_type} '{node.name}' takes {count} rounds of {len(body.node)} nodes",
                node=node.name, hint=f"loops are unrolled up to {MOST_NODES} nodes: use shorter sequences",
            )  # fmt: skip
        fixed = {}
        for tensor in body.initializer:
            fixed[tensor.name] = self.constant(f"{node.name}/{tensor.name}", numpy_helper.to_array(tensor))
        outputs: list[list[str]] = [[] for _ in body.output[skip + len(states) :]]
        current = list(states)
        for index in range(count):
            before, behind = further(index)
            given = [*before, *current, *behind]
            names = fixed | dict(zip((value.name for value in body.input), given, strict=True))
            for inner in body.node:
                names |= {name: f"{node.name}/{index}/{name}" for name in inner.output if name}
            for inner in body.node:
                self.graph.node.append(_renamed(inner, names, f"{node.name}/{index}/{inner.name or inner.output[0]}"))
            results = [names.get(value.name, value.name) for value in body.output][skip:]
            current = results[: len(states)]
            for values, value in zip(outputs, results[len(states) :], strict=True):
                values.append(value)
        return current, outputs

    def finish(
        self, node: onnx.NodeProto, states: Sequence[str], outputs: Sequence[list[str]], axes: Sequence[int]
    ) -> None:
        """Names the results of the loop as its node did; outputs of the rounds are stacked along `axes`."""
        results = list(node.output)
        for value, result in zip(states, results, strict=False):
            if result:
                self.add("Identity", [value], result)
        for number, (values, result) in enumerate(zip(outputs, results[len(states) :], strict=False)):
            if not result:
                continue
            axis = self.constant(f"{node.name}/axis{number}", np.array([axes[number]], np.int64))
            parts = [self.add("Unsqueeze", [value, axis], f"{result}/{i}") for i, value in enumerate(values)]
            self.add("Concat", parts, result, axis=axes[number])


def _scan(editor: _Editor, node: onnx.NodeProto) -> bool:
    """Scan since opset 9: states, then inputs that are cut along an axis; all axes known, and how long they are."""
    attributes = _attributes(node)
    body, count = attributes["body"], attributes["num_scan_inputs"]
    if len(body.input) != len(node.input):
        return False  # opset 8 has lengths of sequences before the states
    cut = list(node.input[len(node.input) - count :])
    states = list(node.input[: len(node.input) - count])
    shapes = [editor.shapes.get(name) for name in cut]
    if any(shape is None for shape in shapes):
        return False
    known = [shape for shape in shapes if shape is not None]
    axes = [
        axis % len(shape) for axis, shape in zip(attributes.get("scan_input_axes", [0] * count), known, strict=True)
    ]
    backward = attributes.get("scan_input_directions", [0] * count)
    results = len(body.output) - len(states)
    out_axes = attributes.get("scan_output_axes", [0] * results)
    reverse = attributes.get("scan_output_directions", [0] * results)
    length = known[0][axes[0]]
    if length == 0:
        return False

    def slices(index: int) -> tuple[list[str], list[str]]:
        parts = []
        for number, (name, axis) in enumerate(zip(cut, axes, strict=True)):
            at = np.array(length - 1 - index if backward[number] else index, np.int64)
            place = editor.constant(f"{node.name}/{index}/at{number}", at)
            parts.append(editor.add("Gather", [name, place], f"{node.name}/{index}/in{number}", axis=axis))
        return [], parts

    last, outputs = editor.rounds(node, body, length, states, slices)
    editor.finish(
        node, last, [values[::-1] if back else values for values, back in zip(outputs, reverse, strict=True)], out_axes
    )
    return True


def _loop(editor: _Editor, node: onnx.NodeProto) -> bool:
    """Loop with a constant number of rounds that nothing ends before."""
    body = _attributes(node)["body"]
    count, condition = (editor.constants.get(name) for name in node.input[:2])
    goes_on = not node.input[1] or (condition is not None and bool(condition.reshape(-1)[0]))
    if count is None or not goes_on or not _stays_true(body):
        return False
    rounds = int(count.reshape(-1)[0])
    states = list(node.input[2:])
    if rounds <= 0 and len(body.output) - 1 > len(states):
        return False  # outputs without elements
    true = editor.constant(f"{node.name}/true", np.array(True))

    def counters(index: int) -> tuple[list[str], list[str]]:
        return [editor.constant(f"{node.name}/{index}/number", np.array(index, np.int64)), true], []

    last, outputs = editor.rounds(node, body, rounds, states, counters, skip=1)
    editor.finish(node, last, outputs, [0] * len(outputs))
    return True


_RULES = {"Loop": _loop, "Scan": _scan}


def _stays_true(body: onnx.GraphProto) -> bool:
    """Whether the condition that a round of Loop makes is a constant true, or the one that it was given."""
    makers = {name: node for node in body.node for name in node.output}
    name = body.output[0].name
    while name in makers and makers[name].op_type == "Identity":
        name = makers[name].input[0]
    if name == body.input[1].name:
        return True
    tensors = [tensor for tensor in body.initializer if tensor.name == name]
    if name in makers and makers[name].op_type == "Constant":
        tensors = [value for key, value in _attributes(makers[name]).items() if key == "value"]
    return any(tensor.data_type == TensorProto.BOOL and numpy_helper.to_array(tensor).all() for tensor in tensors)


def _renamed(node: onnx.NodeProto, names: dict[str, str], name: str) -> onnx.NodeProto:
    """A copy with other names of values, in the graphs that it carries too."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name = name
    _rename(copy, names)
    return copy


def _rename(node: onnx.NodeProto, names: dict[str, str]) -> None:
    node.input[:] = [names.get(value, value) for value in node.input]
    node.output[:] = [names.get(value, value) for value in node.output]
    for attribute in node.attribute:
        if attribute.HasField("g"):
            own = {value.name for value in (*attribute.g.input, *attribute.g.initializer)}
            own |= {value for inner in attribute.g.node for value in inner.output}
            seen = {old: new for old, new in names.items() if old not in own}
            for inner in attribute.g.node:
                _rename(inner, seen)
            for result in attribute.g.output:
                result.name = seen.get(result.name, result.name)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _static_shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    kind = value.type.tensor_type
    if not kind.HasField("shape") or not all(dim.HasField("dim_value") for dim in kind.shape.dim):
        return None
    return tuple(dim.dim_value for dim in kind.shape.dim)
