"""The factors of the layers that are split, and how far what they compute is from what the layers compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from hetpart.calibration import Calibration
from hetpart.passes.edit import Array
from hetpart.passes.lowrank.candidates import Candidate
from hetpart.passes.lowrank.decompose import Svd
from hetpart.passes.lowrank.layers import Layer
from hetpart.passes.lowrank.measure import measure
from hetpart.passes.lowrank.whiten import Metric


@dataclass(frozen=True)
class Result:
    """A layer that is split.

    Attributes:
        weights: the factors, rounded to the dtype of the weight.
        weight_error: relative L2 distance of their product from the weight.
        output_error: of the output on the calibration data, relative to its spread; None without.
        shift: [outputs], what to add to the bias for that; None without.
        whitened: the factors were made for the calibration data; False where those of the weight do no worse.
    """

    weights: list[Array]
    weight_error: float
    output_error: float | None = None
    shift: Array | None = None
    whitened: bool = False


def results(
    model: ir.Model, chosen: Sequence[Candidate], metrics: Mapping[Layer, Metric], samples: Calibration | None
) -> dict[Layer, Result]:
    """The factors of all `chosen` candidates; of the whitened and the plain ones those of the lower output error."""
    if samples is None:
        found = {c.layer: c.weights() for c in chosen}
        return {layer: Result(weights, distance(compose(weights), layer.weight)) for layer, weights in found.items()}
    # where the window is one pixel no factors do better than the whitened ones
    ways = {c.layer: [c.weights(), *([] if Svd.applies(c.layer.shape) else [c.plain_weights()])] for c in chosen}
    changes = {layer: [_change(layer, weights) for weights in of] for layer, of in ways.items()}
    results = {}
    for layer, measured in measure(model, changes, metrics, samples).items():
        best = min(range(len(measured)), key=lambda way: measured[way].error)
        of, error = measured[best], distance(compose(ways[layer][best]), layer.weight)
        results[layer] = Result(ways[layer][best], error, of.error, of.shift, whitened=best == 0)
    return results


def _change(layer: Layer, factors: Sequence[Array]) -> Array:
    """What the factors' product is off the weight, [outputs, inputs, *kernel] of float32."""
    change: Array = (compose(factors) - layer.weight).astype(np.float32)
    return change


def distance(product: Array, weight: Array) -> float:
    """Relative, in L2."""
    wanted = weight.astype(np.float64)
    return float(np.linalg.norm(product - wanted) / np.linalg.norm(wanted))


def compose(factors: Sequence[Array]) -> Array:
    """The weight [outputs, inputs, *kernel], in float64, of factors whose kernels lie along different axes."""

    def matrices(factor: Array) -> Array:
        return np.ascontiguousarray(np.moveaxis(factor, (0, 1), (-2, -1)), np.float64)

    product = matrices(factors[0])
    for factor in factors[1:]:
        product = matrices(factor) @ product
    result: Array = np.moveaxis(product, (-2, -1), (0, 1))
    return result
