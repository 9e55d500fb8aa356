"""The layers of a model whose weight may be split into factors, and why the others may not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from hetpart.passes.edit import Array, attribute, constant, is_float, is_operator, operand, shape_of


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution or a product with a constant weight.

    Attributes:
        node: Conv, Gemm or MatMul in canonical form.
        weight: [outputs, inputs, *kernel], a view of the constant; a product has no kernel axes.
        rows: what is computed alike and has no axis in the weight: the batch, the rows of a product.
        image: sizes of the image before and after, none of a product.
    """

    node: ir.Node
    weight: Array
    rows: int
    image: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def name(self) -> str:
        return self.node.name or ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weight."""
        shape: tuple[int, ...] = self.weight.shape
        return shape

    @property
    def parameters(self) -> int:
        """Numbers in the weight."""
        return self.weight.size

    @property
    def macs(self) -> int:
        """Multiply-adds."""
        return self.rows * math.prod(self.image[1]) * math.prod(self.shape)


@dataclass(frozen=True)
class Passed:
    """A layer that no factorisation applies to."""

    node: ir.Node
    reason: str

    @property
    def name(self) -> str:
        return self.node.name or ""


def find_layers(graph: ir.Graph) -> Iterator[Layer | Passed]:
    """All convolutions and products, in the order of the graph."""
    for node in graph:
        if is_operator(node, "Conv", "ConvTranspose", "Gemm", "MatMul"):
            reason = _obstacle(node)
            yield _layer(node) if reason is None else Passed(node, reason)


def _obstacle(node: ir.Node) -> str | None:
    """Why the layer stays as it is; None if it may be split."""
    if node.op_type == "ConvTranspose":
        return "a transposed convolution"
    weight = constant(operand(node, 1))
    if weight is None:
        maker = node.inputs[1].producer() if node.inputs[1] is not None else None
        if is_operator(maker, "DequantizeLinear"):
            return "its weight is quantised"
        constant_first = constant(operand(node, 0)) is not None
        return "its constant is the left operand" if constant_first else "its weight is not constant"
    if not is_float(node.inputs[1]):
        return "its weight is not of floating point"
    if attribute(node, "auto_pad", "NOTSET") != "NOTSET" or (node.op_type == "Gemm" and node.attributes):
        return "it is not in canonical form"
    if node.op_type == "Conv":
        groups = attribute(node, "group", 1)
        if groups != 1:
            depthwise = groups == shape_of(node.outputs[0])[1] == weight.shape[0]
            return "a depthwise convolution" if depthwise else f"a grouped convolution ({groups} groups)"
    elif weight.ndim != 2:
        return f"its weight has {weight.ndim} axes, not 2"
    if not np.isfinite(weight).all():
        return "its weight has NaN or infinity"
    return None if weight.any() else "its weight is all zeros"


def _layer(node: ir.Node) -> Layer:
    data, weight = node.inputs[0], constant(node.inputs[1])
    assert data is not None  # `_obstacle` looked
    assert weight is not None
    before, after = shape_of(data), shape_of(node.outputs[0])
    if node.op_type == "Conv":
        return Layer(node, weight, before[0], (before[2:], after[2:]))
    return Layer(node, weight.T, math.prod(before[:-1]), ((), ()))
