"""What layers compute on calibration data with other weights than their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from hetpart.activations import activations
from hetpart.calibration import Calibration
from hetpart.passes.edit import Array, required
from hetpart.passes.lowrank.decompose import Svd
from hetpart.passes.lowrank.layers import Layer
from hetpart.passes.lowrank.whiten import CONSTANT, Metric
from hetpart.passes.patches import patches, share, some_places


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
    model: ir.Model, changes: Mapping[Layer, Sequence[Array]], metrics: Mapping[Layer, Metric], samples: Calibration
) -> dict[Layer, list[Measured]]:
    """What comes of each layer if any of `changes` [outputs, inputs, *kernel] is added to its weight.

    The layer reads what it reads in `model`: errors of the layers before it are not in it. Where the window is one
    pixel the covariance of that says all; of other convolutions some places of the output are computed.
    """
    found = {
        layer: _by_covariance(layer, of, metrics[layer]) for layer, of in changes.items() if Svd.applies(layer.shape)
    }
    return found | _at_places(model, {layer: of for layer, of in changes.items() if layer not in found}, samples)


def _by_covariance(layer: Layer, changes: Sequence[Array], metric: Metric) -> list[Measured]:
    whole, *others = (_Spread.by_covariance(weight, metric) for weight in (layer.weight, *changes))
    return [other.beside(whole) for other in others]


def _at_places(
    model: ir.Model, changes: Mapping[Layer, Sequence[Array]], samples: Calibration
) -> dict[Layer, list[Measured]]:
    weights = {layer: [_matrix(layer.weight), *map(_matrix, of)] for layer, of in changes.items()}
    spreads = {layer: [_Spread() for _ in of] for layer, of in weights.items()}
    random = np.random.default_rng(0)
    for found in activations(model, [required(layer.node, 0).name or "" for layer in weights], samples):
        for layer, of in weights.items():
            total = layer.places
            places = some_places(total, share(total * len(samples), len(of[0])), random)
            data = found[required(layer.node, 0).name or ""]
            rows = patches(layer.node, data, layer.shape[2:], layer.image[1], places).reshape(len(places), -1)
            for weight, spread in zip(of, spreads[layer], strict=True):
                spread.add(rows @ weight)
    return {layer: [other.beside(whole) for other in others] for layer, (whole, *others) in spreads.items()}


def _matrix(weight: Array) -> Array:
    """[inputs and kernel, outputs], float32."""
    return weight.reshape(len(weight), -1).T.astype(np.float32)


class _Spread:
    """Mean and variance of outputs without their bias."""

    def __init__(self) -> None:
        self._count = 0
        self._sum: Array = np.zeros(())
        self._squares = 0.0

    def add(self, rows: Array) -> None:
        """Rows [n, outputs] more."""
        self._count += len(rows)
        self._sum = self._sum + rows.sum(axis=0, dtype=np.float64)
        self._squares += float(np.square(rows, dtype=np.float64).sum())

    @staticmethod
    def by_covariance(weight: Array, metric: Metric) -> _Spread:
        """Of all rows that the metric was made of."""
        matrix, found = weight.reshape(len(weight), -1).astype(np.float64), _Spread()
        found._count, found._sum = 1, matrix @ metric.mean
        found._squares = float(((matrix @ metric.covariance) * matrix).sum() + np.square(found._sum).sum())
        return found

    def _variance(self) -> float:
        """Summed over the outputs."""
        return max(self._squares / self._count - float(np.square(self._sum / self._count).sum()), 0.0)

    def beside(self, whole: _Spread) -> Measured:
        """As an error of outputs that spread as `whole` does, or, where those are constant, as their rounding does."""
        least = max(CONSTANT * whole._squares / whole._count, float(np.finfo(np.float64).tiny))
        error = np.sqrt(self._variance() / max(whole._variance(), least))
        return Measured(float(error), -self._sum / self._count)
