"""Calibration: factors that minimise the error of a layer's output on samples, not the error of its weight.

What is constant in the error goes into the bias. Of the rest, with C the covariance of what the layer reads, the energy
is ``|| (W - W') C^(1/2) ||^2``. So what is split is ``W C^(1/2)``, and the first factor then takes ``C^(-1/2)`` in:
exact for products and 1 x 1 convolutions. For a k x k convolution C is of the channels alone, as if the taps of its
window were uncorrelated; whether that helps is measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import onnx_ir as ir

from hetpart.calibration import Calibration, activations
from hetpart.errors import HetpartError
from hetpart.passes.edit import Array, Editor, attribute, shape_of
from hetpart.passes.lowrank.decompose import Decomposition, Ranks
from hetpart.passes.lowrank.layers import Layer

SAMPLES = 64
"""So many are looked at, evenly spaced over those that are given."""

FLOOR = 1e-6
"""Of the mean variance: directions that carry less are taken to carry this, for the inverse root's sake."""

CONSTANT = 1e-10
"""A variance below this share of the mean square is but the rounding of a constant in float32."""

PROBE_NUMBERS = 1 << 26
"""Numbers in the weights of one measurement: 256 MiB of float32, far below what a message of ONNX can hold."""


@dataclass(frozen=True, eq=False)
class Metric:
    """The symmetric root of the covariance of a layer's input, and its inverse: [inputs, inputs], float64."""

    root: Array
    inverse: Array


class Whitened:
    """The decomposition of a weight that was multiplied by the metric's root on its inputs."""

    def __init__(self, kind: type[Decomposition], weight: Array, metric: Metric) -> None:
        self._inverse = metric.inverse
        self._inner = kind(_times(weight, metric.root))

    def kept(self, ranks: Ranks) -> float:
        """Share of the output's variance on the samples that is left."""
        return self._inner.kept(ranks)

    def factors(self, ranks: Ranks) -> list[Array]:
        """The factors of the weight itself."""
        first, *others = self._inner.factors(ranks)
        return [_times(first, self._inverse), *others]


def metrics(model: ir.Model, layers: Sequence[Layer], calibration: Calibration) -> dict[Layer, Metric]:
    """The metric of every layer's input on the samples."""
    readers: dict[str, list[Layer]] = {}
    for layer in layers:
        readers.setdefault(_data(layer.node).name or "", []).append(layer)
    moments: dict[Layer, Array] = {}
    for found in activations(model, readers, _samples(calibration)):
        for name, data in found.items():
            shared: dict[tuple[int, ...], Array] = {}
            for layer in readers[name]:
                steps = _steps(layer)
                if steps not in shared:
                    rows = _rows(layer, data, steps).astype(np.float64)
                    rows = np.hstack([rows, np.ones((len(rows), 1))])  # the sums and the count beside the products
                    shared[steps] = rows.T @ rows
                moments[layer] = moments.get(layer, 0.0) + shared[steps]
    for layer in layers:
        if not np.isfinite(moments[layer]).all():
            message = "what this layer reads is not finite on the calibration data"
            raise HetpartError("bad-calibration", message, node=layer.name, hint="leave out the samples that overflow")
    return {layer: _metric(moments[layer]) for layer in layers}


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
        for found in activations(probe, spreads, _samples(calibration)):
            for name, data in found.items():
                spreads[name].add(_rows(layer_of[name], data))
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
    data, old = _data(node), node.inputs[1]
    assert old is not None  # a layer has a weight
    assert old.dtype is not None  # and every value a type
    value = np.ascontiguousarray(weight if image else weight.T, old.dtype.numpy())
    inputs = [data, editor.constant(f"{node.name}/probe", value)]
    attributes = {name: attribute(node, name, None) for name in node.attributes}
    shape = shape_of(node.outputs[0])
    return editor.insert(node, node.op_type if image else "MatMul", inputs, attributes, shape=shape).name or ""


def _samples(calibration: Calibration) -> Iterator[dict[str, Array]]:
    return islice(calibration, 0, None, -(-len(calibration) // SAMPLES))


def _data(node: ir.Node) -> ir.Value:
    data = node.inputs[0]
    assert data is not None  # a layer reads something
    return data


def _steps(layer: Layer) -> tuple[int, ...]:
    """A 1 x 1 convolution with a stride reads only some pixels."""
    kernel = layer.shape[2:]
    return attribute(layer.node, "strides", (1,) * len(kernel)) if max(kernel, default=0) == 1 else (1,) * len(kernel)


def _rows(layer: Layer, data: Array, steps: tuple[int, ...] = ()) -> Array:
    """[rows or pixels, channels]."""
    if layer.node.op_type == "Conv":
        data = np.moveaxis(data[(slice(None), slice(None), *(slice(None, None, step) for step in steps))], 1, -1)
    return data.reshape(-1, data.shape[-1])


def _metric(moments: Array) -> Metric:
    sums, count = moments[:-1, -1], moments[-1, -1]
    mean = sums / count
    values, vectors = np.linalg.eigh(moments[:-1, :-1] / count - np.outer(mean, mean))
    size = float(values.mean())
    if size <= CONSTANT * float(np.square(mean).mean()):  # nothing varies: all directions count alike
        return Metric(np.eye(len(mean)), np.eye(len(mean)))
    root = np.sqrt(np.maximum(values / size, FLOOR))
    return Metric((vectors * root) @ vectors.T, (vectors / root) @ vectors.T)


def _times(weight: Array, matrix: Array) -> Array:
    """`weight` [outputs, inputs, ...] with symmetric `matrix` [inputs, inputs] on its inputs."""
    result: Array = np.moveaxis(np.tensordot(weight.astype(np.float64), matrix, (1, 0)), -1, 1)
    return result
