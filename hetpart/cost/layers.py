"""A network as phone engines run it: one `Layer` per kernel they launch, with the shapes that its time depends on.

Engines fuse batch normalisation and cheap activations into convolutions, as units do, but run additions of two
activations and costlier activations as kernels of their own: a unit gives one layer and one more for each of these.
hetpart's own kernels do all of a unit: `kernel` is that one layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hetpart.cost.work import Work, activation_bytes, work
from hetpart.errors import InternalError
from hetpart.graph.epilogue import BINARY
from hetpart.graph.layout import Layout
from hetpart.graph.units import Unit, UnitGraph

KINDS = ("conv", "deconv", "dense", "matmul", "pool", "norm", "eltwise", "activation", "move")
"""Convolution, transposed convolution, product with constant weights, product of two activations, pooling,
softmax and normalisation, arithmetic on two activations, activation function, anything that only moves data."""

_KIND_OF_UNIT = {
    "conv": "conv", "qconv": "conv", "conv_transpose": "deconv", "dense": "dense", "qdense": "dense",
    "matmul": "matmul", "pool": "pool", "qpool": "pool", "global_pool": "pool", "softmax": "norm",
    "layer_norm": "norm", "instance_norm": "norm", "eltwise": "eltwise", "qeltwise": "eltwise",
}  # fmt: skip

_FREE = frozenset({"relu", "clip", "leaky_relu", "add_const", "mul_const", "neg", "abs", "max", "min", "prelu"})
"""Steps that every engine fuses into the kernel before, or that cost as little."""


@dataclass(frozen=True, order=True)
class Layer:
    """One kernel.

    Attributes:
        kind: one of `KINDS`.
        c_in: input channels; the length of the sums of a matrix product.
        c_out: output channels; the columns of a matrix product.
        group: groups of a convolution.
        kernel: height and width of the filter; 1 x 1 for all but convolutions and poolings.
        stride: the larger of the strides.
        out: height and width of the output; (1, rows) for matrix products.
        read: elements of the activations read.
        written: elements of the activations written.
    """

    kind: str
    c_in: int = 1
    c_out: int = 1
    group: int = 1
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    out: tuple[int, int] = (1, 1)
    read: int = 0
    written: int = 0

    @property
    def pixels(self) -> int:
        """Output positions, or rows of a matrix product."""
        return math.prod(self.out)

    @property
    def macs(self) -> int:
        """Multiply-adds; 0 for a layer that has no sums of products."""
        if self.kind not in ("conv", "deconv", "dense", "matmul"):
            return 0
        taps = math.prod(self.kernel) * self.pixels
        return self.c_in // self.group * self.c_out * (taps // self.stride**2 if self.kind == "deconv" else taps)

    @property
    def weights(self) -> int:
        """Elements of the weights; 0 where both factors are activations."""
        if self.kind not in ("conv", "deconv", "dense"):
            return 0
        return self.c_in // self.group * self.c_out * math.prod(self.kernel)

    @property
    def depthwise(self) -> bool:
        """Whether every output channel reads one input channel."""
        return self.kind == "conv" and self.group > 1 and self.group == self.c_in


def layers(graph: UnitGraph) -> list[Layer]:
    """All layers of `graph` in topological order; views cost nothing and give none."""
    return [layer for unit in graph for layer in _of_unit(unit, graph)]


def kernel(unit: Unit, graph: UnitGraph, layouts: Mapping[str, Layout], element_bytes: int) -> Layer:
    """The one kernel that hetpart makes of `unit`, which is no view: what its epilogue reads counts, its steps do not.

    Activations count as they lie in memory: `Layer.read` and `Layer.written` are bytes by `element_bytes`.
    """
    read, written = (size // element_bytes for size in activation_bytes(unit, graph, layouts))
    return replace(_anchor(unit, graph), read=read, written=written)


def _of_unit(unit: Unit, graph: UnitGraph) -> list[Layer]:
    if unit.kind == "view":
        return []
    first = _anchor(unit, graph)
    out = graph.types[unit.outputs[0]].shape if unit.outputs else ()
    extra = _separate_steps(unit, graph, out)
    if first.kind == "eltwise":
        return extra or [Layer("activation", read=math.prod(out), written=math.prod(out))]
    return [first, *extra]


def _anchor(unit: Unit, graph: UnitGraph) -> Layer:
    """The layer of a unit's first operator."""
    todo = work(unit, graph)
    kind = _KIND_OF_UNIT.get(unit.kind, "matmul" if todo.macs else "move")
    out = graph.types[unit.outputs[0]].shape if unit.outputs else ()
    read, written = _elements(unit, graph, todo, kind, out)
    if kind in ("conv", "deconv") and len(out) >= 3:
        return _convolution(kind, unit, graph, out, read, written)
    if kind in ("dense", "matmul", "conv", "deconv"):
        columns = out[-1] if out else 1
        rows = max(1, math.prod(out) // max(1, columns))
        depth = max(1, todo.macs // max(1, rows * columns))
        matrix = "dense" if kind == "dense" else "matmul"
        return Layer(matrix, depth, columns, out=(1, rows), read=read, written=written)
    return Layer(kind, read=read, written=written)


def _convolution(kind: str, unit: Unit, graph: UnitGraph, out: tuple[int, ...], read: int, written: int) -> Layer:
    """A convolution over one or more spatial dimensions; those before the last are taken together."""
    node = unit.anchor
    weight = node.inputs[1]
    if weight is None or weight.shape is None:
        raise InternalError("missing-shape", "a convolution's weight has no shape", node=node.name)
    computed = graph.types.get(weight.name or "")
    shape = computed.shape if computed else tuple(int(n) for n in weight.shape.numpy())
    group = node.attributes.get_int("group", 1)
    c_in, c_out = (shape[1] * group, shape[0]) if kind == "conv" else (shape[0], shape[1] * group)
    spatial = out[2:]
    kernel = (math.prod(shape[2:-1]), shape[-1])
    size = (out[0] * math.prod(spatial[:-1]), spatial[-1])
    stride = max(node.attributes.get_ints("strides", (1,)))
    return Layer(kind, c_in, c_out, group, kernel, stride, size, read, written)


def _separate_steps(unit: Unit, graph: UnitGraph, out: tuple[int, ...]) -> list[Layer]:
    """The steps of a unit that engines run as kernels of their own."""
    size = math.prod(out)
    found = []
    for step in unit.steps:
        if step.op in BINARY and step.operand is not None:
            operand = unit.operands[step.operand]
            if not graph.is_constant(operand):
                found.append(Layer("eltwise", read=size + math.prod(graph.types[operand].shape), written=size))
        elif step.op not in _FREE:
            found.append(Layer("activation", read=size, written=size))
    return found


def _elements(unit: Unit, graph: UnitGraph, todo: Work, kind: str, out: tuple[int, ...]) -> tuple[int, int]:
    """Elements read and written; what only moves data reads no more than it writes and its indices."""
    written = sum(math.prod(graph.types[value].shape) for value in unit.outputs)
    if kind in ("conv", "deconv", "dense", "matmul") and unit.nodes:
        names = [value.name for value in unit.anchor.inputs if value is not None and value.name in graph.types]
        return sum(math.prod(graph.types[name or ""].shape) for name in names), math.prod(out)
    read = sum(math.prod(graph.types[value].shape) for value in unit.inputs)
    return (min(read, written) if kind == "move" else read), written
