"""Canonical form, part 1: nodes that compute nothing, views, and parameters shared between nodes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from hetpart.errors import HetpartError
from hetpart.passes.edit import Editor, attribute, constant, integers, operand, scalar, shape_of


def no_op(editor: Editor, node: ir.Node) -> bool:
    """y = Identity(x), and every other node whose result is its first input -> x."""
    source, result = node.inputs[0], node.outputs[0]
    if source is None or source.dtype != result.dtype or shape_of(source) != shape_of(result):
        return False
    match node.op_type:
        case "Transpose":
            rank = len(shape_of(source))
            perm: tuple[int, ...] = attribute(node, "perm", tuple(reversed(range(rank))))
            repeats = perm == tuple(range(rank))
        case "Concat":
            repeats = len(node.inputs) == 1
        case "Pad":
            pads = integers(operand(node, 1))
            repeats = pads is not None and not any(pads)
        case "Reshape":
            # one that only repeats a graph input as a graph output must stay, see Editor.bypass
            repeats = not result.is_graph_output() or not (source.producer() is None or source.is_graph_output())
        case _:  # Identity; Cast and Expand, of which type and shape say it all
            repeats = True
    if repeats:
        editor.bypass(node, source)
    return repeats


def without_empty(editor: Editor, node: ir.Node) -> bool:
    """Concat of some inputs without elements -> Concat of the others."""
    kept = [value for value in node.inputs if value is not None and 0 not in shape_of(value)]
    if not kept or len(kept) == len(node.inputs):
        return False
    editor.become(node, "Concat", kept, {"axis": attribute(node, "axis", 0)})
    return True


def dropout(editor: Editor, node: ir.Node) -> bool:
    """Dropout at inference -> its input; the mask, if read, -> a constant of ones."""
    training = operand(node, 2)
    if training is not None and scalar(training) != 0:
        raise HetpartError(
            "training-mode", "Dropout in training mode is random", node=node.name, hint="export the model for inference"
        )
    if len(node.outputs) > 1 and node.outputs[1].name:
        mask = node.outputs[1]
        ones = editor.constant(f"{node.name}/mask", np.ones(shape_of(mask), dtype=np.bool_))
        if mask.is_graph_output():
            ones.name, mask.name = mask.name, None
        mask.replace_all_uses_with(ones, replace_graph_outputs=True)
    source = node.inputs[0]
    if source is None:
        return False
    editor.bypass(node, source)
    return True


def view(editor: Editor, node: ir.Node) -> bool:
    """Flatten, Squeeze, Unsqueeze, Reshape with 0, -1 or a computed shape -> Reshape to a constant, explicit shape."""
    source = node.inputs[0]
    if source is None:
        return False
    shape = shape_of(node.outputs[0])
    if node.op_type == "Reshape" and integers(operand(node, 1)) == shape:
        return False
    editor.view(node, source)
    return True


_PARAMETERS = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "MatMul": (0, 1),
}
"""Operator type -> inputs that are weights, biases or scales: what passes cut, fold and factorise."""


def unshare_parameters(editor: Editor) -> bool:
    """Give each reader of a shared parameter its own initialiser; the data stay shared in memory."""
    modified = False
    for node in editor.graph:
        for index in _PARAMETERS.get(node.op_type, ()) if node.domain == "" else ():
            value = operand(node, index)
            if value is None or value.const_value is None or constant(value) is None:
                continue
            if len(value.uses()) > 1 or value.is_graph_output():
                node.replace_input_with(index, editor.constant(f"{node.name}/{value.name}", value.const_value))
                modified = True
    return modified
