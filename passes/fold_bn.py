"""fold-bn: scales and offsets per output channel, such as batch normalisation, go into the layer in front of them.

With L the layer's linear part, ``(L(x; w) + b) * s + t  =  L(x; w * s) + (b * s + t)``, where w * s scales the filter
of each output channel. The products are computed in float64 and rounded once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from hetpart.passes.base import Pass
from hetpart.passes.canonical_layers import BN_SCALE, batch_norm
from hetpart.passes.edit import (
    Array,
    Editor,
    attribute,
    constant,
    is_float,
    is_operator,
    operand,
    shape_of,
    used_once,
)

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def fold_batch_norm(graph: ir.Graph) -> bool:
    """Fold every Mul, Div, Add by a per-channel constant behind a layer into its weight and bias."""
    editor = Editor(graph)
    modified = False
    for node in graph:
        if is_operator(node, "BatchNormalization"):
            modified = batch_norm(editor, node) or modified
    for node in graph:
        if is_operator(node, "Mul", "Div", "Add") and _fold(editor, node):
            modified = True
    return modified


def _fold(editor: Editor, node: ir.Node) -> bool:
    """Make the layer in front of `node` compute the result of `node`."""
    data = node.inputs[0]
    layer = data.producer() if data is not None else None
    if data is None or layer is None or not used_once(data) or not is_float(data) or not _is_layer(layer):
        return False
    vector = _channel_vector(node, layer)
    weight, bias = constant(operand(layer, 1)), constant(operand(layer, 2))
    if vector is None or weight is None:
        return False
    if node.op_type == "Add":
        if is_operator(layer, "MatMul"):
            return False  # has no bias; the Add becomes part of its epilogue
        scaled = weight
        total: Array | None = (0.0 if bias is None else bias) + vector
    else:
        with np.errstate(all="ignore"):
            factor = 1 / vector if node.op_type == "Div" else vector
            scaled = (weight * _along_outputs(factor, layer, weight)).astype(weight.dtype)
        total = None if bias is None else bias * factor
    if total is not None:
        with np.errstate(over="ignore"):
            total = total.astype(weight.dtype)
    if not np.isfinite(scaled).all() or (total is not None and not np.isfinite(total).all()):
        return False  # a division by zero, or a float16 weight that would overflow
    if scaled is not weight:
        editor.update(layer, 1, scaled)
    if bias is not None and total is not None:
        editor.update(layer, 2, total)
    elif total is not None:
        layer.resize_inputs(3)
        layer.replace_input_with(2, editor.constant(f"{layer.name}/bias", total))
    if BN_SCALE in node.meta:
        layer.meta[BN_SCALE] = node.meta[BN_SCALE]
    editor.bypass(node, data)
    return True


def _is_layer(node: ir.Node) -> bool:
    """A layer with constant weight and, if any, constant bias of one number per channel."""
    bias = operand(node, 2)
    if not is_operator(node, *_LAYERS) or constant(operand(node, 1)) is None:
        return False
    if bias is not None and (constant(bias) is None or len(shape_of(bias)) != 1):
        return False
    return not is_operator(node, "Gemm") or not node.attributes


def _channel_vector(node: ir.Node, layer: ir.Node) -> Array | None:
    """The constant operand of `node` as one float64 number per output channel of `layer`; None if it is not that."""
    data = constant(node.inputs[1])
    shape = shape_of(layer.outputs[0])
    if data is None or shape_of(node.outputs[0]) != shape or not shape:
        return None
    channel = len(shape) - 1 if is_operator(layer, "Gemm", "MatMul") else 1
    extents = (1,) * (len(shape) - data.ndim) + data.shape
    if any(extent != 1 for axis, extent in enumerate(extents) if axis != channel):
        return None
    return np.broadcast_to(data.reshape(-1).astype(np.float64), (shape[channel],))


def _along_outputs(factor: Array, layer: ir.Node, weight: Array) -> Array:
    """`factor`, one number per output channel, in a shape that broadcasts to the weight.

    Conv weights are [C_out, C_in / group, ...], ConvTranspose weights [C_in, C_out / group, ...], Gemm and MatMul
    weights [K, N].
    """
    spatial = (1,) * (weight.ndim - 2)
    if is_operator(layer, "Conv"):
        return factor.reshape(-1, 1, *spatial)
    if is_operator(layer, "ConvTranspose"):
        group = attribute(layer, "group", 1)
        per_input = np.repeat(factor.reshape(group, -1), weight.shape[0] // group, axis=0)
        return per_input.reshape(*weight.shape[:2], *spatial)
    return factor


@dataclass(frozen=True)
class FoldBatchNormalization(Pass):
    """Folds what scales and shifts channels into Conv, ConvTranspose, Gemm and MatMul.

    Before::

        %c = Conv(%x, @w)
        %m = Mul(%c, @s)          # @s, @t: [C, 1, 1]; or one BatchNormalization
        %y = Add(%m, @t)

    After::

        %c = Conv(%x, @w', @b')   # w' = w * s per filter, b' = t

    Not folded: where the layer's result is read elsewhere too, where weights are computed or would overflow.
    """

    name: ClassVar[str] = "fold-bn"

    def apply(self, model: ir.Model) -> bool:
        return fold_batch_norm(model.graph)
