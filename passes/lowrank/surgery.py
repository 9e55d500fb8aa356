"""Putting a chain of factors in the place of a layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from hetpart.passes.edit import Array, Editor, attribute, constant, dtype_of, operand, required, shape_of
from hetpart.passes.lowrank.decompose import Factor


def substitute(
    editor: Editor,
    node: ir.Node,
    factors: Sequence[Factor],
    weights: Sequence[Array] | None = None,
    shift: Array | None = None,
) -> None:
    """Let `factors` compute what `node`, a canonical Conv, Gemm or MatMul, computes; in place.

    The node becomes the last factor and keeps its name, its bias and its output; `shift` [outputs] is added to the
    bias, by an Add behind a MatMul, which has none. The weights are rounded to the dtype of the layer's; without any
    the constants only claim their shape: enough to predict what it costs.
    """
    data, dtype = required(node, 0), dtype_of(required(node, 1)).numpy()
    image = node.op_type == "Conv"
    for index, factor in enumerate(factors):
        weight = np.broadcast_to(np.zeros((), dtype), factor.shape) if weights is None else weights[index].astype(dtype)
        weight = weight if image else weight.T
        value = editor.constant(f"{node.name}/factor_{index}", np.ascontiguousarray(weight) if weights else weight)
        attributes = _attributes(node, factor) if image else {}
        if index < len(factors) - 1 or (shift is not None and node.op_type == "MatMul"):
            op_type = "Conv" if image else "MatMul"
            shape = _output_shape(node, factor, shape_of(data))
            data = editor.insert(node, op_type, [data, value], attributes, shape=shape)
        else:
            bias = operand(node, 2) if shift is None else _shifted(editor, node, shift.astype(dtype))
            editor.become(node, node.op_type, [data, value, *([] if bias is None else [bias])], attributes)
            return
    if shift is not None:
        editor.become(node, "Add", [data, editor.constant(f"{node.name}/shift", shift.astype(dtype))])


def _shifted(editor: Editor, node: ir.Node, shift: Array) -> ir.Value:
    """The bias with `shift` added."""
    old = constant(operand(node, 2))
    return editor.constant(f"{node.name}/bias", shift if old is None else old + shift)


def _output_shape(node: ir.Node, factor: Factor, shape: Sequence[int]) -> tuple[int, ...]:
    """What `factor` makes of data of `shape` in the place of `node`."""
    if node.op_type != "Conv":
        return *shape[:-1], factor.shape[0]
    final = shape_of(node.outputs[0])
    image = (final[axis + 2] if axis in factor.axes else size for axis, size in enumerate(shape[2:]))
    return shape[0], factor.shape[0], *image


def _attributes(node: ir.Node, factor: Factor) -> dict[str, list[int]]:
    """Those of a convolution, on the axes along which the factor works."""
    rank = len(factor.shape) - 2
    strides = attribute(node, "strides", (1,) * rank)
    dilations = attribute(node, "dilations", (1,) * rank)
    pads = attribute(node, "pads", (0,) * (2 * rank))
    here = [axis in factor.axes for axis in range(rank)]
    return {
        "kernel_shape": list(factor.shape[2:]),
        "strides": [stride if works else 1 for stride, works in zip(strides, here, strict=True)],
        "dilations": [dilation if works else 1 for dilation, works in zip(dilations, here, strict=True)],
        "pads": [pad if works else 0 for pad, works in zip(pads, here * 2, strict=True)],
    }
