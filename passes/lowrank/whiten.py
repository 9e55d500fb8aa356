"""Calibration: factors that minimise the error of a layer's output on samples, not the error of its weight.

What is constant in the error goes into the bias. Of the rest, with C the covariance of what the layer reads, the energy
is ``|| (W - W') C^(1/2) ||^2``. So what is split is ``W C^(1/2)``, and the first factor then takes ``C^(-1/2)`` in:
exact for products and 1 x 1 convolutions. For a k x k convolution C is of the channels alone, as if the taps of its
window were uncorrelated; whether that helps is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import onnx_ir as ir

from hetpart.calibration import Calibration, activations
from hetpart.errors import HetpartError
from hetpart.passes.edit import Array, attribute, required
from hetpart.passes.lowrank.decompose import Decomposition, Ranks
from hetpart.passes.lowrank.layers import Layer

LEAST_SAMPLES, MOST_SAMPLES = 32, 1024
SAMPLED_MACS = 1e11
"""How many samples are looked at, evenly spaced over those given: as many as this work allows, within the bounds."""

FLOOR = 1e-6
"""Of the mean variance: directions that carry less are taken to carry this, for the inverse root's sake."""

CONSTANT = 1e-10
"""A variance below this share of the mean square is but the rounding of a constant in float32."""


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
        readers.setdefault(required(layer.node, 0).name or "", []).append(layer)
    moments: dict[Layer, Array] = {}
    for found in activations(model, readers, thinned(calibration, layers)):
        for name, data in found.items():
            shared: dict[tuple[int, ...], Array] = {}
            for layer in readers[name]:
                steps = _steps(layer)
                if steps not in shared:
                    rows = rows_of(layer, data, steps).astype(np.float64)
                    rows = np.hstack([rows, np.ones((len(rows), 1))])  # the sums and the count beside the products
                    shared[steps] = rows.T @ rows
                moments[layer] = moments.get(layer, 0.0) + shared[steps]
    for layer in layers:
        if not np.isfinite(moments[layer]).all():
            message = "what this layer reads is not finite on the calibration data"
            raise HetpartError("bad-calibration", message, node=layer.name, hint="leave out the samples that overflow")
    return {layer: _metric(moments[layer]) for layer in layers}


def thinned(calibration: Calibration, layers: Iterable[Layer]) -> Iterator[dict[str, Array]]:
    """The samples that are looked at, of a network with these layers."""
    allowed = SAMPLED_MACS / max(1, sum(layer.macs for layer in layers))
    most = int(min(max(allowed, LEAST_SAMPLES), MOST_SAMPLES))
    return islice(calibration, 0, None, -(-len(calibration) // most))


def _steps(layer: Layer) -> tuple[int, ...]:
    """A 1 x 1 convolution with a stride reads only some pixels."""
    kernel = layer.shape[2:]
    return attribute(layer.node, "strides", (1,) * len(kernel)) if max(kernel, default=0) == 1 else (1,) * len(kernel)


def rows_of(layer: Layer, data: Array, steps: tuple[int, ...] = ()) -> Array:
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
