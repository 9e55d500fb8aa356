"""repair: solve the weights of a compressed model anew, so that its layers compute what they did. No labels needed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from hetpart.activations import activations
from hetpart.calibration import Calibration
from hetpart.errors import HetpartError
from hetpart.passes.base import Context, Origin, Pass
from hetpart.passes.edit import Array, Editor, shape_of
from hetpart.passes.patches import Places
from hetpart.passes.repairing.find import find_layer
from hetpart.passes.repairing.layers import Layer
from hetpart.passes.repairing.least_squares import Regression, Sums
from hetpart.passes.repairing.report import LayerNote, RepairNote

FEWEST = 4
"""Samples: every fourth is held out."""

ROWS_PER_COLUMN = 4
FEWEST_ROWS = 8192
"""Places of a layer's output that enter, over all samples: so many per column of its input, and no fewer than these."""

AT_ONCE = 16
"""Runs whose values are held at once."""

EXACT = 1e-5
"""A relative error of a layer's output that is rounding."""


@dataclass(frozen=True)
class Repair(Pass):
    """Layer-wise least squares on calibration samples.

    Before, with two of four channels of %b pruned, %y is not what it was in the original network::

        %a = Conv(%x, @w1)
        %b = Relu(%a)
        %y = Conv(%b, @w2, @b2)

    After, @w2' and @b2' bring %y as near to the original's as this %b allows::

        %a = Conv(%x, @w1)
        %b = Relu(%a)
        %y = Conv(%b, @w2', @b2')

    Layers are solved in the order of the graph, on what the corrected layers in front of them compute. A ridge term
    holds the weights near the old ones; samples that are held out say how strongly, and whether the correction is used.

    Attributes:
        samples: how many samples of the calibration data are used, the first ones; 0: all.
        seed: of the places in feature maps that are looked at.
    """

    name: ClassVar[str] = "repair"
    lossy: ClassVar[bool] = True
    samples: int = 256
    seed: int = 0

    def apply(self, model: ir.Model) -> bool:
        return self.run(model, Context())

    def run(self, model: ir.Model, context: Context) -> bool:
        samples = self._samples(context.calibration)
        notes: list[LayerNote] = []
        if (original := context.origin.model) is not None:
            for wave in _waves(model.graph, original, context.origin):
                notes.extend(self._correct(model, original, context.origin, wave, samples))
        context.notes.append(RepairNote(str(self), len(samples), tuple(notes)))
        return any(note.reason is None for note in notes)

    def _samples(self, calibration: Calibration | None) -> list[dict[str, Array]]:
        if self.samples < 0 or 0 < self.samples < FEWEST:
            raise HetpartError("bad-samples", f"samples must be 0 or at least {FEWEST}, not {self.samples}")
        if calibration is None:
            raise HetpartError("no-calibration", "repair needs calibration data", hint="give --calibration FILE.npz")
        if len(calibration) < FEWEST:
            hint = f"at least {FEWEST}, better some hundred"
            raise HetpartError("bad-calibration", f"{len(calibration)} samples are too few to repair with", hint=hint)
        return list(islice(calibration, self.samples or None))

    def _correct(
        self,
        model: ir.Model,
        original_model: ir.Model,
        origin: Origin,
        wave: Sequence[Layer],
        samples: Sequence[dict[str, Array]],
    ) -> Iterator[LayerNote]:
        """Correct layers none of which reads what another one makes."""
        random = np.random.default_rng(self.seed)
        regressions = [_regression(layer) for layer in wave]
        results = [_name(layer.result) for layer in wave]
        names = [*results, *(_name(layer.data) for layer in wave)]
        for part in ("fitted", "held_out"):
            own = [sample for i, sample in enumerate(samples) if (i % FEWEST == FEWEST - 1) == (part == "held_out")]
            wanted = _stacked(activations(original_model, results, own))
            found = _stacked(activations(model, names, own))
            for original, actual in zip(wanted, found, strict=True):
                for layer, regression, result in zip(wave, regressions, results, strict=True):
                    places = _some(layer, len(actual[result]), len(samples), random)
                    right = layer.results(_narrow(original[result], origin, result), places)
                    error = right - layer.results(actual[result], places)
                    sums: Sums = getattr(regression, part)
                    sums.add(layer.rows(actual[_name(layer.data)], places), error, right)
        editor = Editor(model.graph)
        for layer, regression in zip(wave, regressions, strict=True):
            if (regression.fitted + regression.held_out).relative() <= EXACT:
                continue
            correction, before, after = regression.solve()
            if correction is not None:
                layer.correct(editor, correction)
            reason = "no correction makes it smaller" if correction is None else None
            yield LayerNote(layer.node.name or "", before, after, reason)


def _waves(graph: ir.Graph, original_model: ir.Model, origin: Origin) -> list[list[Layer]]:
    """The layers whose results the original has: each in a wave behind those that it depends on."""
    original = {value.name: value for node in original_model.graph for value in node.outputs}
    depth: dict[ir.Value, int] = dict.fromkeys(graph.inputs, 0)
    waves: list[list[Layer]] = []
    for node in graph:
        above = max((depth.get(value, 0) for value in node.inputs if value is not None), default=0)
        layer = find_layer(node, depth)
        if layer is not None and _has(original.get(layer.result.name), layer.result, origin):
            above = max(above, *(depth[value] for value in layer.beside), 0)
            waves.extend([] for _ in range(above + 1 - len(waves)))
            waves[above].append(layer)
            above += 1
        depth.update(dict.fromkeys(node.outputs, above))
    return [wave for wave in waves if wave]


def _has(original: ir.Value | None, value: ir.Value, origin: Origin) -> bool:
    """Whether the original's value has what is left of it."""
    if original is None:
        return False
    kept = origin.kept.get(_name(value))
    return shape_of(value) == (shape_of(original) if kept is None else tuple(len(axis) for axis in kept))


def _narrow(array: Array, origin: Origin, name: str) -> Array:
    """What is left of a value of the original, [runs, ...its shape]."""
    kept = origin.kept.get(name)
    return array if kept is None else array[np.ix_(np.arange(len(array)), *kept)]


def _stacked(runs: Iterable[dict[str, Array]]) -> Iterator[dict[str, Array]]:
    """Some runs at once, [runs, ...the value's shape]."""
    runs = iter(runs)
    while chunk := list(islice(runs, AT_ONCE)):
        yield {name: np.stack([run[name] for run in chunk]) for name in chunk[0]}


def _regression(layer: Layer) -> Regression:
    shape = (layer.groups, layer.columns, layer.outputs)
    return Regression(Sums.zero(*shape), Sums.zero(*shape), int(layer.bias is not None))


def _some(layer: Layer, runs: int, samples: int, random: np.random.Generator) -> Places:
    """Places of the outputs of `runs` runs, of `samples` in all."""
    wanted = math.ceil(max(FEWEST_ROWS, ROWS_PER_COLUMN * layer.columns) * runs / samples)
    total = layer.places * runs
    return np.arange(total) if wanted >= total else random.choice(total, wanted, replace=False)


def _name(value: ir.Value) -> str:
    return value.name or ""
