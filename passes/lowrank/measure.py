"""What layers compute on calibration data with other weights than their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from hetpart.calibration import Calibration, activations
from hetpart.passes.edit import Array, Editor, attribute, dtype_of, required, shape_of
from hetpart.passes.lowrank.layers import Layer
from hetpart.passes.lowrank.whiten import CONSTANT, rows_of, thinned

PROBE_NUMBERS = 1 << 26
"""Numbers in the weights of one measurement: 256 MiB of float32, far below what a message of ONNX can hold."""


@dataclass(frozen=True)
class Measured:
    """What a layer computes on the samples with another weight.

    Attributes:
        error: L2 error of its output after `shift`, relative to that of the output's mean per channel.
        shift: [outputs], what to add to the bias: minus the mean error.
    """

    error: float
    shift: Array


def measure(
    model: ir.Model, products: Mapping[Layer, Sequence[Array]], calibration: Calibration
) -> dict[Layer, list[Measured]]:
    """What comes of each layer if its weight is any of `products` [outputs, inputs, *kernel].

    The layer reads what it reads in `model`: errors of the layers before it are not in it.
    """
    measured: dict[Layer, list[Measured]] = {}
    for part in _parts(products):
        probe = model.clone()
        editor, nodes = Editor(probe.graph), {node.name: node for node in probe.graph}
        names = {}
        for layer in part:
            weight = layer.weight.astype(np.float64)
            probes = [weight, *(product - weight for product in products[layer])]
            names[layer] = [_probe(editor, nodes[layer.name], each) for each in probes]
        spreads = {name: _Spread() for of in names.values() for name in of}
        layer_of = {name: layer for layer, of in names.items() for name in of}
        for found in activations(probe, spreads, thinned(calibration, products)):
            for name, data in found.items():
                spreads[name].add(rows_of(layer_of[name], data))
        for layer, (whole, *others) in names.items():
            size = spreads[whole].size()
            measured[layer] = [
                Measured(float(np.sqrt(spreads[name].variance() / size)), -spreads[name].mean()) for name in others
            ]
    return measured


class _Spread:
    """Mean and variance of rows that come in parts."""

    def __init__(self) -> None:
        self._count = 0
        self._sum: Array = np.zeros(())
        self._squares: Array = np.zeros(())

    def add(self, rows: Array) -> None:
        """Rows [n, channels]."""
        self._count += len(rows)
        self._sum = self._sum + rows.sum(axis=0, dtype=np.float64)
        self._squares = self._squares + np.square(rows, dtype=np.float64).sum(axis=0)

    def mean(self) -> Array:
        mean: Array = self._sum / self._count
        return mean

    def size(self) -> float:
        """The variance; where that is but rounding, what rounding is measured against. Above 0."""
        least = float(CONSTANT * self._squares.sum() / self._count)
        return max(self.variance(), least, float(np.finfo(np.float64).tiny))

    def variance(self) -> float:
        """Summed over the channels."""
        return float(np.maximum(self._squares / self._count - np.square(self.mean()), 0.0).sum())


def _parts(products: Mapping[Layer, Sequence[Array]]) -> Iterator[list[Layer]]:
    part: list[Layer] = []
    numbers = 0
    for layer in products:
        size = layer.parameters * (1 + len(products[layer]))
        if part and numbers + size > PROBE_NUMBERS:
            yield part
            part, numbers = [], 0
        part.append(layer)
        numbers += size
    if part:
        yield part


def _probe(editor: Editor, node: ir.Node, weight: Array) -> str:
    """A node beside `node` that does the same with another weight and no bias; the name of its output."""
    image = node.op_type == "Conv"
    value = np.ascontiguousarray(weight if image else weight.T, dtype_of(required(node, 1)).numpy())
    inputs = [required(node, 0), editor.constant(f"{node.name}/probe", value)]
    attributes = {name: attribute(node, name, None) for name in node.attributes}
    shape = shape_of(node.outputs[0])
    return editor.insert(node, node.op_type if image else "MatMul", inputs, attributes, shape=shape).name or ""
