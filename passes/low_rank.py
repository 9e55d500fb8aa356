"""low-rank: split layers into thinner ones, wherever the target gains by it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from hetpart.calibration import affordable
from hetpart.errors import HetpartError
from hetpart.passes.base import Context, Pass
from hetpart.passes.dce import remove_dead_code
from hetpart.passes.edit import Editor
from hetpart.passes.lowrank.choose import Choice, Rule, choose
from hetpart.passes.lowrank.decompose import SCHEMES
from hetpart.passes.lowrank.layers import Layer, find_layers
from hetpart.passes.lowrank.prices import Prices
from hetpart.passes.lowrank.report import low_rank_note
from hetpart.passes.lowrank.result import results
from hetpart.passes.lowrank.surgery import substitute
from hetpart.passes.lowrank.whiten import metrics

DEFAULT_MULTIPLE = 8
"""Ranks are a multiple of this where no target says otherwise."""

DEFAULT_ENERGY = 0.9

MOST_SAMPLES = 1024
"""Of the calibration data, evenly spaced; of a large network fewer are looked at (`hetpart.calibration.affordable`)."""

NOT_GIVEN = math.inf


@dataclass(frozen=True)
class LowRank(Pass):
    """Low-rank factorisation.

    Before::

        %y = Conv(%x, @w, @b) {pads=[1,1,1,1]}     # @w [64, 32, 3, 3]

    After, by Tucker-2 with ranks 8 and 16::

        %t = Conv(%x, @w0)                         # @w0 [8, 32, 1, 1]
        %u = Conv(%t, @w1) {pads=[1,1,1,1]}        # @w1 [16, 8, 3, 3]
        %y = Conv(%u, @w2, @b)                     # @w2 [64, 16, 1, 1]

    At most one of `energy`, `ratio` and `gain` is given; without any the energy is 0.9.

    Attributes:
        energy: share of a layer's energy (squared singular values) to keep, in (0, 1].
        ratio: share of a layer's parameters that its factors may have, in (0, 1).
        gain: share of the model's predicted time to save, in (0, 1).
        scheme: ``auto``, or one of hetpart.passes.lowrank.decompose.SCHEMES.
        multiple: ranks are a multiple of this; 0 takes the target's vector width.
    """

    name: ClassVar[str] = "low-rank"
    lossy: ClassVar[bool] = True
    energy: float = NOT_GIVEN
    ratio: float = NOT_GIVEN
    gain: float = NOT_GIVEN
    scheme: str = "auto"
    multiple: int = 0

    def apply(self, model: ir.Model) -> bool:
        return self.run(model, Context())

    def run(self, model: ir.Model, context: Context) -> bool:
        choice = self._choice(context)
        prices = Prices(model, context)
        layers = list(find_layers(model.graph))
        samples, known = context.calibration, {}
        if samples is not None:
            able = [layer for layer in layers if isinstance(layer, Layer)]
            samples = samples.thinned(affordable(sum(layer.macs for layer in able), MOST_SAMPLES))
            known = metrics(model, able, samples)
        decisions = choose(layers, choice, prices, known)
        chosen = [decision.chosen for decision in decisions if decision.chosen is not None]
        found = results(model, chosen, known, samples)
        context.notes.append(low_rank_note(self, choice, prices, decisions, found))
        editor = Editor(model.graph)
        for candidate in chosen:
            result = found[candidate.layer]
            substitute(editor, candidate.layer.node, candidate.factors, result.weights, result.shift)
        if chosen:
            remove_dead_code(model)  # the weights that were split
        return bool(chosen)

    def _choice(self, context: Context) -> Choice:
        given = {rule: amount for rule in Rule if (amount := getattr(self, rule.value)) != NOT_GIVEN}
        if len(given) > 1:
            names = " and ".join(rule.value for rule in given)
            raise HetpartError("bad-rank", f"{names} are both given", hint="give one of energy, ratio and gain")
        rule, amount = next(iter(given.items()), (Rule.ENERGY, DEFAULT_ENERGY))
        if not (0 < amount < 1 or (rule is Rule.ENERGY and amount == 1)):
            most = "at most 1" if rule is Rule.ENERGY else "below 1"
            raise HetpartError(f"bad-{rule.value}", f"{rule.value} must be above 0 and {most}, not {amount:g}")
        if rule is Rule.GAIN and context.predict_us is None:
            raise HetpartError("no-target", "gain needs a target", hint="give --target")
        if self.scheme not in ("auto", *SCHEMES):
            hint = f"use auto, {', '.join(list(SCHEMES)[:-1])} or {list(SCHEMES)[-1]}"
            raise HetpartError("unknown-scheme", f"there is no scheme '{self.scheme}'", hint=hint)
        if self.multiple < 0:
            raise HetpartError("bad-multiple", f"multiple must not be negative, as {self.multiple} is")
        return Choice(rule, amount, self.scheme, self.multiple or context.block or DEFAULT_MULTIPLE)
