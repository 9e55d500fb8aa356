"""The factors of the layers that are split, and how far what they compute is from what the layers compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from hetpart.calibration import Calibration
from hetpart.passes.edit import Array
from hetpart.passes.lowrank.candidates import Candidate
from hetpart.passes.lowrank.layers import Layer
from hetpart.passes.lowrank.measure import measure


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


def results(model: ir.Model, chosen: Sequence[Candidate], calibration: Calibration | None) -> dict[Layer, Result]:
    """The factors of all `chosen` candidates; of the whitened and the plain ones those of the lower output error."""
    found = {}
    if calibration is None:
        for candidate in chosen:
            weights = candidate.weights()
            found[candidate.layer] = Result(weights, distance(compose(weights), candidate.layer.weight))
        return found
    ways = {c.layer: [c.plain_weights(), c.weights()] for c in chosen}
    products = {layer: [compose(weights) for weights in of] for layer, of in ways.items()}
    for layer, (plain, fitted) in measure(model, products, calibration).items():
        whitened = fitted.error < plain.error
        best = fitted if whitened else plain
        error = distance(products[layer][whitened], layer.weight)
        found[layer] = Result(ways[layer][whitened], error, best.error, best.shift, whitened)
    return found


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
