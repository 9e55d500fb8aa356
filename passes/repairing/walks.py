"""The original and the compressed network side by side, layer by layer: what the regressions are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import onnx_ir as ir

from hetpart.activations import Walk
from hetpart.errors import InternalError
from hetpart.passes.base import Origin
from hetpart.passes.edit import Array
from hetpart.passes.patches import share, some_places
from hetpart.passes.repairing.layers import Layer
from hetpart.passes.repairing.least_squares import Regression, Sums

FEWEST = 4
"""Samples: every fourth is held out."""

AT_ONCE = 16
"""Runs whose values enter at once."""


class Walks:
    """Both networks on all samples. Waves of layers come in the order of the graph, each corrected before the next."""

    def __init__(self, model: ir.Model, origin: Origin, samples: Sequence[Mapping[str, Array]], seed: int) -> None:
        if origin.model is None:
            raise InternalError("no-origin", "nothing is known of the model before it was compressed")
        held_out = samples[FEWEST - 1 :: FEWEST]
        fitted = [sample for index, sample in enumerate(samples) if index % FEWEST != FEWEST - 1]
        runs = [*fitted, *held_out]
        self._counts = {"fitted": len(fitted), "held_out": len(held_out)}
        self._original, self._actual = Walk(origin.model, runs), Walk(model, runs)
        self._origin, self._seed = origin, seed

    def regressions(self, wave: Sequence[Layer]) -> list[Regression]:
        """What the layers read now, and how far what they make of it is from the original's."""
        random, count = np.random.default_rng(self._seed), sum(self._counts.values())
        found = [_regression(layer) for layer in wave]
        results, data = [_name(layer.result) for layer in wave], [_name(layer.data) for layer in wave]
        original, actual = self._original.step(results, []), self._actual.step(data, results)
        for part, samples in self._counts.items():
            for wanted, now in zip(_stacked(original, samples), _stacked(actual, samples), strict=True):
                for layer, result, read, regression in zip(wave, results, data, found, strict=True):
                    wanted_rows = self._narrow(wanted[result], result)
                    runs, looked_at = len(wanted_rows), share(layer.places * count, layer.columns)
                    places = some_places(layer.places * runs, looked_at, random)
                    right = layer.results(wanted_rows, places)
                    error = right - layer.results(now[result], places)
                    sums: Sums = getattr(regression, part)
                    sums.add(layer.rows(now[read], places), error, right)
        return found

    def _narrow(self, array: Array, name: str) -> Array:
        """What is left of a value of the original, [runs, ...its shape]."""
        for axis, kept in enumerate(self._origin.kept.get(name, ()), start=1):
            if len(kept) < array.shape[axis]:
                array = array.take(kept, axis)
        return array


def _stacked(runs: Iterator[dict[str, Array]], count: int) -> Iterator[dict[str, Array]]:
    """The next `count` runs, some at once, [runs, ...the value's shape]."""
    while chunk := list(islice(runs, min(count, AT_ONCE))):
        count -= len(chunk)
        yield {name: np.stack([run[name] for run in chunk]) for name in chunk[0]}


def _regression(layer: Layer) -> Regression:
    shape = (layer.groups, layer.columns, layer.outputs)
    return Regression(Sums.zero(*shape), Sums.zero(*shape), int(layer.bias is not None))


def _name(value: ir.Value) -> str:
    return value.name or ""
