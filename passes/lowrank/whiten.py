"""Calibration: factors that minimise the error of a layer's output on samples, not the error of its weight.

What is constant in the error goes into the bias. Of the rest, with C the covariance of what the layer reads and L L' =
C, the energy is ``|| (W - W') L ||^2``. So what is split is ``W L``, and the first factor then takes the inverse of L
in: exact for products and 1 x 1 convolutions. For a k x k convolution C is of the channels alone, as if the taps of its
window were uncorrelated; whether that helps is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx_ir as ir

from hetpart.activations import activations
from hetpart.calibration import Calibration
from hetpart.errors import HetpartError
from hetpart.passes.edit import Array, attribute, required
from hetpart.passes.lowrank.decompose import Decomposition, Ranks
from hetpart.passes.lowrank.layers import Layer
from hetpart.passes.patches import share, some_places

FLOOR = 1e-6
"""Share of the mean variance that is added to every direction, for the inverse's sake."""

CONSTANT = 1e-10
"""A variance below this share of the mean square is but the rounding of a constant in float32."""


@dataclass(frozen=True, eq=False)
class Metric:
    """What a layer reads on the samples: mean [inputs] and covariance [inputs, inputs], float64."""

    mean: Array
    covariance: Array

    @cached_property
    def root(self) -> Array:
        """Lower triangular L: L L' is the covariance, of mean variance 1. Where nothing varies all directions count."""
        inputs = np.eye(len(self.mean))
        size = float(np.trace(self.covariance)) / len(self.mean)
        if size <= CONSTANT * float(np.square(self.mean).mean()):
            return inputs
        root: Array = np.linalg.cholesky(self.covariance / size + FLOOR * inputs)
        return root


class Whitened:
    """The decomposition of a weight that was multiplied by the metric's root on its inputs."""

    def __init__(self, kind: type[Decomposition], weight: Array, metric: Metric) -> None:
        self._metric = metric
        # [outputs, inputs, ...] times [inputs, inputs] on the inputs
        self._inner = kind(np.moveaxis(np.tensordot(weight.astype(np.float64), metric.root, (1, 0)), -1, 1))

    def kept(self, ranks: Ranks) -> float:
        """Share of the output's variance on the samples that is left."""
        return self._inner.kept(ranks)

    def factors(self, ranks: Ranks) -> list[Array]:
        """The factors of the weight itself."""
        first, *others = self._inner.factors(ranks)
        columns = np.moveaxis(first, 1, 0)
        solved = np.linalg.solve(self._metric.root.T, columns.reshape(len(columns), -1))
        return [np.moveaxis(solved.reshape(columns.shape), 0, 1), *others]


def metrics(model: ir.Model, layers: Sequence[Layer], samples: Calibration) -> dict[Layer, Metric]:
    """The metric of every layer's input on the samples, of large maps at some pixels; layers may have one together."""
    readers: dict[tuple[str, bool, tuple[int, ...]], list[Layer]] = {}
    for layer in layers:
        name = required(layer.node, 0).name or ""
        readers.setdefault((name, layer.node.op_type == "Conv", _steps(layer)), []).append(layer)
    random, moments = np.random.default_rng(0), {key: _Moments() for key in readers}
    for found in activations(model, [name for name, _, _ in readers], samples):
        for key, of in readers.items():
            columns = _columns(found[key[0]], of[0], key[2])
            channels, pixels = columns.shape
            places = some_places(pixels, share(pixels * len(samples), channels), random)
            moments[key].add(columns[:, places])
    metric_of: dict[Layer, Metric] = {}
    for key, of in readers.items():
        metric = moments[key].metric()
        if not np.isfinite(metric.covariance).all():
            message = "what this layer reads is not finite on the calibration data"
            hint = "leave out the samples that overflow"
            raise HetpartError("bad-calibration", message, node=of[0].name, hint=hint)
        metric_of.update(dict.fromkeys(of, metric))
    return metric_of


class _Moments:
    """Sums over columns [channels, n] that come in parts; multiplied when there are as many as channels."""

    def __init__(self) -> None:
        self._parts: list[Array] = []
        self._products: Array = np.zeros(())

    def add(self, columns: Array) -> None:
        self._parts.append(columns)
        if sum(part.shape[1] for part in self._parts) >= len(columns):
            self._multiply()

    def metric(self) -> Metric:
        self._multiply()
        sums, count = self._products[:-1, -1], self._products[-1, -1]
        mean = sums / count
        with np.errstate(invalid="ignore"):  # of activations that are not finite the covariance is NaN
            return Metric(mean, self._products[:-1, :-1] / count - np.outer(mean, mean))

    def _multiply(self) -> None:
        if self._parts:
            columns = np.hstack(self._parts)
            # a row of ones: the sums and the count beside the products
            columns = np.vstack([columns, np.ones(columns.shape[1], columns.dtype)]).astype(np.float64)
            self._products = self._products + columns @ columns.T
            self._parts = []


def _steps(layer: Layer) -> tuple[int, ...]:
    """A 1 x 1 convolution with a stride reads only some pixels."""
    kernel = layer.shape[2:]
    return attribute(layer.node, "strides", (1,) * len(kernel)) if max(kernel, default=0) == 1 else (1,) * len(kernel)


def _columns(data: Array, layer: Layer, steps: tuple[int, ...]) -> Array:
    """[channels, pixels or rows] of what `layer` reads."""
    if layer.node.op_type == "Conv":
        data = np.moveaxis(data[(slice(None), slice(None), *(slice(None, None, step) for step in steps))], 1, 0)
        return data.reshape(len(data), -1)
    return data.reshape(-1, data.shape[-1]).T
