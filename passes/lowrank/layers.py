"""The layers of a model whose weight may be split into factors, and why the others may not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from hetpart.passes.edit import Array, attribute, constant, is_float, is_operator, operand, required, shape_of


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
    def places(self) -> int:
        """How many positions its output has."""
        return self.rows * math.prod(self.image[1])

    @property
    def macs(self) -> int:
        """Multiply-adds."""
        return self.places * self.weight.size


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
            yield _layer(node)


def _layer(node: ir.Node) -> Layer | Passed:
    weight = constant(operand(node, 1))
    if weight is None:
        return Passed(node, _unknown(node))
    if reason := _obstacle(node, weight):
        return Passed(node, reason)
    before, after = shape_of(required(node, 0)), shape_of(node.outputs[0])
    if node.op_type == "Conv":
        return Layer(node, weight, before[0], (before[2:], after[2:]))
    return Layer(node, weight.T, math.prod(before[:-1]), ((), ()))


def _unknown(node: ir.Node) -> str:
    """Why there is no weight to split."""
    if is_operator(required(node, 1).producer(), "DequantizeLinear"):
        return "its weight is quantised"
    constant_first = constant(operand(node, 0)) is not None
    return "its constant is the left operand" if constant_first else "its weight is not constant"


def _obstacle(node: ir.Node, weight: Array) -> str | None:
    """Why the layer stays as it is; None if it may be split."""
    if node.op_type == "ConvTranspose":
        return "a transposed convolution"
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
