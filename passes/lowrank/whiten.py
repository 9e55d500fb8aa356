"""Calibration: factors that minimise the error of a layer's output on samples, not the error of its weight.

With C the second moments of what the layer reads, the output's error is ``|| (W - W') C^(1/2) ||``. So what is split is
``W C^(1/2)``, and the first factor then takes ``C^(-1/2)`` in: exact for products and 1 x 1 convolutions. For a k x k
convolution C is of the channels alone, as if the taps of its window were uncorrelated; whether that helps is measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import onnx_ir as ir

from hetpart.calibration import Calibration, activations
from hetpart.passes.edit import Array, Editor, attribute, shape_of
from hetpart.passes.lowrank.decompose import Decomposition, Ranks
from hetpart.passes.lowrank.layers import Layer

SAMPLES = 64
"""So many are looked at, evenly spaced over those that are given."""

FLOOR = 1e-6
"""Of the mean second moment: directions that carry less are taken to carry this, for the inverse root's sake."""

PROBE_NUMBERS = 1 << 26
"""Numbers in the weights of one measurement: 256 MiB of float32, far below what a message of ONNX can hold."""


@dataclass(frozen=True, eq=False)
class Metric:
    """The symmetric root of the second moments of a layer's input, and its inverse: [inputs, inputs], float64."""

    root: Array
    inverse: Array


class Whitened:
    """The decomposition of a weight that was multiplied by the metric's root on its inputs."""

    def __init__(self, kind: type[Decomposition], weight: Array, metric: Metric) -> None:
        self._inverse = metric.inverse
        self._inner = kind(_times(weight, metric.root))

    def kept(self, ranks: Ranks) -> float:
        """Share of the output's energy on the samples that is left."""
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
                    shared[steps] = rows.T @ rows
                moments[layer] = moments.get(layer, 0.0) + shared[steps]
    return {layer: _metric(moments[layer]) for layer in layers}


def output_errors(
    model: ir.Model, products: Mapping[Layer, Sequence[Array]], calibration: Calibration
) -> dict[Layer, list[float]]:
    """Relative L2 error of each layer's output, without bias, if its weight were any of `products` [out, in, *kernel].

    The layer reads what it reads in `model`: errors of the layers before it are not in it.
    """
    errors: dict[Layer, list[float]] = {}
    for part in _parts(products):
        probe = model.clone()
        editor, nodes = Editor(probe.graph), {node.name: node for node in probe.graph}
        names = {}
        for layer in part:
            weight = layer.weight.astype(np.float64)
            probes = [weight, *(product - weight for product in products[layer])]
            names[layer] = [_probe(editor, nodes[layer.name], each) for each in probes]
        energies = {layer: np.zeros(len(of)) for layer, of in names.items()}
        for found in activations(probe, [name for of in names.values() for name in of], _samples(calibration)):
            for layer, of in names.items():
                energies[layer] += [float(np.square(found[name], dtype=np.float64).sum()) for name in of]
        for layer, (whole, *missing) in energies.items():
            errors[layer] = [float(np.sqrt(energy / whole)) if whole else 0.0 for energy in missing]
    return errors


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


def _rows(layer: Layer, data: Array, steps: tuple[int, ...]) -> Array:
    """[rows or pixels, inputs]."""
    if layer.node.op_type == "Conv":
        data = np.moveaxis(data[(slice(None), slice(None), *(slice(None, None, step) for step in steps))], 1, -1)
    return data.reshape(-1, data.shape[-1])


def _metric(moments: Array) -> Metric:
    values, vectors = np.linalg.eigh(moments)
    floor = FLOOR * max(float(values.mean()), np.finfo(np.float64).tiny)
    root = np.sqrt(np.maximum(values, floor))
    return Metric((vectors * root) @ vectors.T, (vectors / root) @ vectors.T)


def _times(weight: Array, matrix: Array) -> Array:
    """`weight` [outputs, inputs, ...] with symmetric `matrix` [inputs, inputs] on its inputs."""
    result: Array = np.moveaxis(np.tensordot(weight.astype(np.float64), matrix, (1, 0)), -1, 1)
    return result
