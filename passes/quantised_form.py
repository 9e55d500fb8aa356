"""quantised-form: the form of a quantised model in which integer kernels are recognised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from hetpart.graph.quantised import LIMITS
from hetpart.passes.base import Pass
from hetpart.passes.dce import remove_dead_code
from hetpart.passes.edit import Editor, attribute, constant, is_operator, operand, shape_of
from hetpart.passes.quantised import match, scheme_of

_MOVES = frozenset({"Concat", "MaxPool", "Reshape", "Transpose"})
"""Operators that commute with (de)quantisation: they select and reorder, or take a maximum."""


def move_between(editor: Editor, node: ir.Node) -> bool:
    """DequantizeLinear, a move, QuantizeLinear -> the move on integers; other schemes are brought to the result's."""
    if not is_operator(node, *_MOVES) or len(node.outputs) != 1 or node.outputs[0].is_graph_output():
        return False
    readers = node.outputs[0].consumers()
    wanted = scheme_of(readers[0]) if readers and is_operator(readers[0], "QuantizeLinear") else None
    if wanted is None or any(scheme_of(r) != wanted or not is_operator(r, "QuantizeLinear") for r in readers):
        return False
    data = range(len(node.inputs) if node.op_type == "Concat" else 1)
    sources = [value.producer() if (value := node.inputs[i]) is not None else None for i in data]
    if any(s is None or not is_operator(s, "DequantizeLinear") or scheme_of(s) is None for s in sources):
        return False
    if node.op_type != "Concat" and any(scheme_of(s) != wanted for s in sources):
        return False
    kind = readers[0].outputs[0].type
    for index, source in zip(data, sources, strict=True):
        if source is None:
            continue
        stored = source.inputs[0]
        if scheme_of(source) != wanted:
            real = source.outputs[0]
            stored = editor.insert(node, "QuantizeLinear", [real, *readers[0].inputs[1:]], shape=shape_of(real))
            stored.type = kind
        node.replace_input_with(index, stored)
    node.outputs[0].type = kind
    for reader in readers:
        editor.bypass(reader, node.outputs[0])
    return True


def back_and_forth(editor: Editor, node: ir.Node) -> bool:
    """QuantizeLinear of a DequantizeLinear with the same scheme -> nothing."""
    if not is_operator(node, "QuantizeLinear") or node.inputs[0] is None:
        return False
    source, scheme = node.inputs[0].producer(), scheme_of(node)
    if source is None or scheme is None or not is_operator(source, "DequantizeLinear") or scheme_of(source) != scheme:
        return False
    stored = source.inputs[0]
    if stored is None or stored.is_initializer():
        return False
    editor.bypass(node, stored)
    return True


def quantised_constant(editor: Editor, node: ir.Node) -> bool:
    """QuantizeLinear of a constant -> the integers."""
    data = constant(operand(node, 0))
    if not is_operator(node, "QuantizeLinear") or data is None or node.outputs[0].is_graph_output():
        return False
    scale, zero, dtype = constant(operand(node, 1)), constant(operand(node, 2)), node.outputs[0].dtype
    if scale is None or dtype is None or dtype.numpy().name not in LIMITS or attribute(node, "block_size", 0):
        return False
    axes = _along(scale, attribute(node, "axis", 1), data.ndim)
    offset = 0.0 if zero is None else _along(zero.astype(np.float32), attribute(node, "axis", 1), data.ndim)
    integers = np.clip(np.rint(data / axes) + offset, *LIMITS[dtype.numpy().name])
    editor.replace_by_constants(node, [ir.tensor(integers.astype(dtype.numpy()))])
    return True


def transposed_weight(editor: Editor, node: ir.Node) -> bool:
    """Transpose of a dequantised constant -> the dequantised transposed constant."""
    if not is_operator(node, "Transpose") or node.inputs[0] is None:
        return False
    source = node.inputs[0].producer()
    if source is None or not is_operator(source, "DequantizeLinear") or attribute(source, "block_size", 0):
        return False
    stored, rank = constant(source.inputs[0]), len(shape_of(node.outputs[0]))
    if stored is None:
        return False
    perm = attribute(node, "perm", tuple(reversed(range(rank))))
    axis = perm.index(attribute(source, "axis", 1) % rank) if rank else 0
    turned = editor.constant(f"{node.name}/weight", np.ascontiguousarray(stored.transpose(perm)))
    editor.become(node, "DequantizeLinear", [turned, *source.inputs[1:]], {"axis": axis})
    return True


def one_reader_each(editor: Editor, node: ir.Node) -> bool:
    """DequantizeLinear with several readers -> one for each."""
    if not is_operator(node, "DequantizeLinear"):
        return False
    result = node.outputs[0]
    uses = list(result.uses())
    spare = uses if result.is_graph_output() else uses[1:]
    for use in spare:
        copy = editor.insert(
            use.node, "DequantizeLinear", list(node.inputs), dict(node.attributes), shape=shape_of(result)
        )
        copy.type = result.type
        use.node.replace_input_with(use.idx, copy)
    return bool(spare)


def fold_weights(editor: Editor, claimed: set[ir.Node]) -> bool:
    """DequantizeLinear of a constant outside of all integer units -> a float32 constant."""
    modified = False
    for node in list(editor.graph):
        stored = constant(operand(node, 0))
        if node in claimed or not is_operator(node, "DequantizeLinear") or stored is None:
            continue
        scale, zero = constant(operand(node, 1)), constant(operand(node, 2))
        if scale is None or scale.dtype != np.float32 or attribute(node, "block_size", 0):
            continue
        if node.outputs[0].is_graph_output():
            continue
        axis = attribute(node, "axis", 1)
        centred = stored.astype(np.int32) - (0 if zero is None else _along(zero.astype(np.int32), axis, stored.ndim))
        real = centred.astype(np.float32) * _along(scale, axis, stored.ndim)
        editor.replace_by_constants(node, [ir.tensor(real)])
        modified = True
    return modified


def _along(values: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """One value, or one per position of `axis`, shaped to broadcast."""
    if values.size == 1:
        return values.reshape(())
    return values.reshape([-1 if i == axis % rank else 1 for i in range(rank)])


_RULES = (quantised_constant, transposed_weight, back_and_forth, move_between)


def _sweep(editor: Editor) -> bool:
    modified = False
    for node in list(editor.graph):
        for rule in _RULES:
            if node.graph is not None and rule(editor, node):  # a rule may have removed it
                modified = True
    return modified


@dataclass(frozen=True)
class QuantisedForm(Pass):
    """Brings QuantizeLinear and DequantizeLinear into the form that hetpart.passes.quantised looks for.

    =====================================================  ====================================================
    before                                                 after
    =====================================================  ====================================================
    QuantizeLinear of a constant                           integers
    Transpose of dequantised weights                       dequantised transposed weights
    DequantizeLinear, QuantizeLinear of the same scheme    nothing
    Concat, MaxPool, Reshape, Transpose between the two    the same on integers, requantised where schemes differ
    DequantizeLinear with several readers                  one for each
    dequantised weights that no integer kernel reads       float32 weights
    =====================================================  ====================================================
    """

    name: ClassVar[str] = "quantised-form"

    def apply(self, model: ir.Model) -> bool:
        if not any(is_operator(node, "QuantizeLinear", "DequantizeLinear") for node in model.graph):
            return False
        editor = Editor(model.graph)
        changed = False
        while _sweep(editor):
            changed = True
            remove_dead_code(model)
        for node in list(model.graph):
            changed = one_reader_each(editor, node) or changed
        claimed = {part for node in model.graph if (found := match(node)) is not None for part in found.nodes}
        changed = fold_weights(editor, claimed) or changed
        return remove_dead_code(model) or changed
