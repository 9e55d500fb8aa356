"""Cutting labelled channels out of a model: constants are sliced, shapes and attributes that count channels follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from hetpart.passes.canonical_layers import BN_SCALE
from hetpart.passes.edit import Array, Editor, attribute, constant, integers, operand, shape_of
from hetpart.passes.pruning.labels import Labelling, Labels, Role

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def unshare(graph: ir.Graph) -> None:
    """Give each reader of a constant its own, so that layers are tied by what they compute only. No data is copied."""
    editor = Editor(graph)
    for value in list(graph.initializers.values()):
        for node, index in list(value.uses())[1:]:
            if value.const_value is not None:
                node.replace_input_with(index, editor.constant(f"{node.name}/{value.name}", value.const_value))


def cut(
    graph: ir.Graph, labelling: Labelling, dropped: Labels, *, shapes_only: bool = False
) -> dict[str, list[Labels]]:
    """Remove every index whose label stands among `dropped`, in place.

    Args:
        graph: what was labelled, or a copy.
        labelling: of it; dropped: some of its labels.
        shapes_only: the constants keep their data and only claim the new shape: enough to predict what it costs.

    Returns:
        Per value that lost indices, those that it keeps along each axis.
    """
    gone = np.isin(labelling.table(), dropped)
    kept = {value: [~gone[axis] for axis in axes] for value, axes in labelling.on(graph).items()}
    editor = Editor(graph)
    before = {value: shape_of(value) for value in kept}
    for value, masks in kept.items():
        if all(mask.all() for mask in masks):
            continue
        data = constant(value)
        if data is not None and not shapes_only:
            value.const_value = ir.tensor(_slice(data, masks), name=value.name)
        value.shape = ir.Shape([int(mask.sum()) for mask in masks])
    for node in graph:
        if BN_SCALE in node.meta and node.outputs[0] in kept:
            node.meta[BN_SCALE] = node.meta[BN_SCALE][kept[node.outputs[0]][1]]
        data_value = node.inputs[0] if node.inputs else None
        if data_value is not None and any(
            value is not None and value in before and shape_of(value) != before[value]
            for value in (*node.inputs, *node.outputs)
        ):
            _recount(node, data_value, kept, before, editor)
    return {
        value.name or "": [np.flatnonzero(mask) for mask in masks]
        for value, masks in kept.items()
        if not all(mask.all() for mask in masks)
    }


def _slice(data: Array, masks: list[Mask]) -> Array:
    for axis, mask in enumerate(masks):
        if not mask.all():
            data = np.compress(mask, data, axis=axis)
    return data


def _recount(
    node: ir.Node,
    data: ir.Value,
    kept: dict[ir.Value, list[Mask]],
    before: dict[ir.Value, tuple[int, ...]],
    editor: Editor,
) -> None:
    """Make attributes and shape operands of a node agree with the new shapes."""
    after = shape_of(node.outputs[0])
    if node.op_type in ("Conv", "ConvTranspose"):
        if attribute(node, "group", 1) == before[data][1] != 1:
            node.attributes.add(ir.AttrInt64("group", shape_of(data)[1]))
    elif node.op_type in ("Reshape", "Expand"):
        node.replace_input_with(1, editor.integers(f"{node.name}/shape", after))
    elif node.op_type == "Resize" and integers(operand(node, 3)) is not None:
        sizes = after
        if axes := attribute(node, "axes", ()):
            sizes = tuple(after[axis] for axis in axes)
        node.replace_input_with(3, editor.integers(f"{node.name}/sizes", sizes))
    elif node.op_type == "Split":
        axis = attribute(node, "axis", 0) % len(after)
        node.attributes.pop("num_outputs", None)
        node.resize_inputs(2)
        node.replace_input_with(1, editor.integers(f"{node.name}/split", [shape_of(v)[axis] for v in node.outputs]))
    elif node.op_type == "Slice":
        _recount_slice(node, kept[data], editor)


def _recount_slice(node: ir.Node, masks: list[Mask], editor: Editor) -> None:
    """Starts and ends count the indices that are left in front of them; an axis with another step lost nothing."""
    starts, ends = integers(operand(node, 1)) or (), integers(operand(node, 2)) or ()
    axes = integers(operand(node, 3)) or tuple(range(len(starts)))
    new_starts, new_ends = list(starts), list(ends)
    for position, axis in enumerate(axes):
        mask = masks[axis]
        if not mask.all():
            start, end, _ = slice(starts[position], ends[position]).indices(len(mask))
            new_starts[position], new_ends[position] = int(mask[:start].sum()), int(mask[:end].sum())
    node.replace_input_with(1, editor.integers(f"{node.name}/starts", new_starts))
    node.replace_input_with(2, editor.integers(f"{node.name}/ends", new_ends))


def blank(labelling: Labelling, dropped: Labels) -> None:
    """Zeros where weights read `dropped`: the model keeps its form and computes what it would without them."""
    gone = np.isin(labelling.table(), dropped)
    for (value, axis), role in labelling.roles.items():
        data = constant(value)
        if role is not Role.INPUT or data is None:
            continue
        mask = gone[labelling.axes[value][axis]]
        if mask.any():
            data = np.array(data)
            np.moveaxis(data, axis, 0)[mask] = 0
            value.const_value = ir.tensor(data, name=value.name)
