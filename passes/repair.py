"""repair: solve the weights of a compressed model anew, so that its layers compute what they did. No labels needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from hetpart.calibration import Calibration, affordable
from hetpart.errors import HetpartError
from hetpart.passes.base import Context, Origin, Pass
from hetpart.passes.edit import Editor, shape_of
from hetpart.passes.repairing.find import find_layer
from hetpart.passes.repairing.layers import Layer
from hetpart.passes.repairing.report import LayerNote, RepairNote
from hetpart.passes.repairing.walks import FEWEST, Walks

EXACT = 1e-5
"""A relative error of a layer's output that is rounding."""

MOST_SAMPLES = 256

HELD_BYTES = 1 << 30
"""Of one value over all samples: some such are held of each network."""


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
        samples: how many samples of the calibration data are used, evenly spaced; 0: up to 256, of a large network
            fewer (`hetpart.calibration.affordable`).
        seed: of the places in feature maps that are looked at.
    """

    name: ClassVar[str] = "repair"
    lossy: ClassVar[bool] = True
    samples: int = 0
    seed: int = 0

    def apply(self, model: ir.Model) -> bool:
        return self.run(model, Context())

    def run(self, model: ir.Model, context: Context) -> bool:
        origin, notes = context.origin, list[LayerNote]()
        calibration = self._calibration(context.calibration)
        waves = [] if origin.model is None else _waves(model.graph, origin.model, origin)
        samples = calibration.thinned(self.samples or _affordable(waves))
        if origin.model is not None:
            walks = Walks(model, origin, list(samples), self.seed)
            for wave in waves:
                notes.extend(_correct(model.graph, wave, walks))
        context.notes.append(RepairNote(str(self), len(samples), tuple(notes)))
        return any(note.reason is None for note in notes)

    def _calibration(self, calibration: Calibration | None) -> Calibration:
        if self.samples < 0 or 0 < self.samples < FEWEST:
            raise HetpartError("bad-samples", f"samples must be 0 or at least {FEWEST}, not {self.samples}")
        if calibration is None:
            raise HetpartError("no-calibration", "repair needs calibration data", hint="give --calibration FILE.npz")
        if len(calibration) < FEWEST:
            hint = f"at least {FEWEST}, better some hundred"
            raise HetpartError("bad-calibration", f"{len(calibration)} samples are too few to repair with", hint=hint)
        return calibration


def _affordable(waves: Sequence[Sequence[Layer]]) -> int:
    """Samples that are looked at where the user does not say how many: few of a large network."""
    layers = [layer for wave in waves for layer in wave]
    macs = sum(layer.places * layer.groups * layer.inputs * layer.outputs for layer in layers)
    largest = max((4 * layer.places * layer.groups * layer.outputs for layer in layers), default=1)
    # the original runs once, and so does the compressed network, but its layers a second time when they are corrected
    return max(FEWEST, min(affordable(3 * macs, MOST_SAMPLES), HELD_BYTES // largest))


def _correct(graph: ir.Graph, wave: Sequence[Layer], walks: Walks) -> Iterator[LayerNote]:
    """Correct layers none of which reads what another one makes."""
    editor = Editor(graph)
    for layer, regression in zip(wave, walks.regressions(wave), strict=True):
        if regression.relative() <= EXACT:
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
    kept = origin.kept.get(value.name or "")
    return shape_of(value) == (shape_of(original) if kept is None else tuple(len(axis) for axis in kept))
