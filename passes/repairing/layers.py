"""A layer whose output is linear in weights that can be solved for: its rows and columns, and how it is corrected.

A layer is described by matrices per group: its input as rows x [groups, rows, k], its weights as [groups, k, n], its
output as rows [groups, rows, n]. A bias is a column of ones at the end of x. Values come from several runs of the model
at once, in a first axis of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from hetpart.passes.edit import Array, Editor, constant, dtype_of, is_operator, operand, shape_of
from hetpart.passes.patches import Places


@dataclass(frozen=True, eq=False)
class Bias:
    """Where a layer's constant summand is: input `index` of `node`, still empty if `value` is None."""

    node: ir.Node
    index: int
    value: ir.Value | None


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a model in canonical form.

    Attributes:
        node: a Conv, ConvTranspose, Gemm or MatMul, or a Mul by one constant per channel.
        data: what it reads.
        weight: index of the input that is solved for; None if only the bias is.
        bias: where its bias is; None if it can have none.
        result: what should be as it was: the node's output, or the sum that it is added up to.
        beside: what else is in that sum.
        axis: axis of the channels in the output, counted from its end: negative.
        groups, inputs, outputs: extents of the matrices; `inputs` without the bias.
        matrix: the input's rows [groups, places, inputs] at some places of the output.
    """

    node: ir.Node
    data: ir.Value
    weight: int | None
    bias: Bias | None
    result: ir.Value
    beside: tuple[ir.Value, ...]
    axis: int
    groups: int
    inputs: int
    outputs: int
    matrix: Callable[[Array, Places], Array]

    @property
    def columns(self) -> int:
        return self.inputs + (self.bias is not None)

    @property
    def places(self) -> int:
        """How many positions the output has in one run."""
        return math.prod(shape_of(self.result)) // (self.groups * self.outputs)

    def rows(self, data: Array, places: Places) -> Array:
        """[groups, places, columns] of the layer's input, float32."""
        x = self.matrix(data, places).astype(np.float32, copy=False)
        return x if self.bias is None else np.concatenate([x, np.ones((*x.shape[:2], 1), np.float32)], axis=2)

    def results(self, result: Array, places: Places) -> Array:
        """[groups, places, outputs] of the layer's output, float32."""
        channels = np.moveaxis(result, self.axis, 0).reshape(self.groups, self.outputs, -1)
        return channels[:, :, places].swapaxes(1, 2).astype(np.float32, copy=False)

    def correct(self, editor: Editor, correction: Array) -> None:
        """Add a correction [groups, columns, outputs] to the weights and the bias."""
        if self.weight is not None:
            delta = correction[:, : self.inputs]
            dense = is_operator(self.node, "Gemm", "MatMul")
            _add(editor, self.node, self.weight, delta if dense else delta.swapaxes(1, 2))
        if self.bias is not None:
            _add(editor, self.bias.node, self.bias.index, correction[:, self.inputs])


def _add(editor: Editor, node: ir.Node, index: int, delta: Array) -> None:
    """Add to a constant input; one that is not there yet is [n]."""
    old = constant(operand(node, index))
    if old is not None:
        editor.update(node, index, (old.astype(np.float64) + delta.reshape(old.shape)).astype(old.dtype))
    else:
        dtype = dtype_of(node.outputs[0])
        node.resize_inputs(index + 1)
        node.replace_input_with(index, editor.constant(f"{node.name}/bias", delta.reshape(-1).astype(dtype.numpy())))
