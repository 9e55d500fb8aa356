"""prune-channels: remove the least important channels, wherever all that is tied to them can go as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from hetpart.errors import HetpartError
from hetpart.passes.base import Context, Pass
from hetpart.passes.pruning.allocate import ALLOCATIONS, Choice, allocate
from hetpart.passes.pruning.groups import find_groups
from hetpart.passes.pruning.importance import require_measure
from hetpart.passes.pruning.report import pruning_note
from hetpart.passes.pruning.rules import label
from hetpart.passes.pruning.surgery import cut, unshare

DEFAULT_MULTIPLE = 8
"""Channels that a layer keeps a multiple of where no target says otherwise."""


@dataclass(frozen=True)
class PruneChannels(Pass):
    """Structured pruning.

    Before, with two of four channels of %a unimportant::

        %a = Conv(%x, @w1, @b1)     # @w1 [4, c, 3, 3]
        %b = Relu(%a)
        %y = Conv(%b, @w2, @b2)     # @w2 [k, 4, 3, 3]

    After::

        %a = Conv(%x, @w1', @b1')   # @w1' [2, c, 3, 3]
        %b = Relu(%a)
        %y = Conv(%b, @w2', @b2)    # @w2' [k, 2, 3, 3]

    Attributes:
        ratio: share of channels to remove, in (0, 1).
        importance: what decides which: one of hetpart.passes.pruning.importance.MEASURES; ``activation`` needs
            calibration data, ``bn`` batch normalisations in the model that was imported.
        multiple: a layer keeps a multiple of this many channels; 0 takes the target's vector width.
        allocate: ``uniform`` removes the ratio from every group; ``latency`` the same share of all channels, where the
            target gains most time per importance lost.
        layers: ratios of single groups, ``"NAME:RATIO NAME:RATIO"``; 0 leaves a group alone.
    """

    name: ClassVar[str] = "prune-channels"
    lossy: ClassVar[bool] = True
    ratio: float = 0.3
    importance: str = "l2"
    multiple: int = 0
    allocate: str = "uniform"
    layers: str = ""

    def apply(self, model: ir.Model) -> bool:
        return self.run(model, Context())

    def run(self, model: ir.Model, context: Context) -> bool:
        self._check(context)
        unshare(model.graph)
        labelling = label(model.graph)
        groups = find_groups(model.graph, labelling)
        choice = Choice(self.ratio, self.importance, self._multiple(context), self.allocate, self._ratios())
        decisions, dropped = allocate(model, labelling, groups, choice, context)
        context.notes.append(pruning_note(self, context, decisions))
        if len(dropped):
            context.origin.narrow(cut(model.graph, labelling, dropped))
        return bool(len(dropped))

    def _check(self, context: Context) -> None:
        if not 0 < self.ratio < 1:
            raise HetpartError("bad-ratio", f"ratio must be above 0 and below 1, not {self.ratio:g}")
        if self.multiple < 0:
            raise HetpartError("bad-multiple", f"multiple must not be negative, as {self.multiple} is")
        require_measure(self.importance)
        if self.allocate not in ALLOCATIONS:
            hint = f"use {' or '.join(ALLOCATIONS)}"
            raise HetpartError("unknown-allocation", f"there is no allocation '{self.allocate}'", hint=hint)
        if self.allocate == "latency" and context.predict_us is None:
            raise HetpartError("no-target", "allocate=latency needs a target", hint="give --target")

    def _multiple(self, context: Context) -> int:
        return self.multiple or context.block or DEFAULT_MULTIPLE

    def _ratios(self) -> dict[str, float]:
        """The option `layers`, read."""
        ratios = {}
        for text in self.layers.split():
            name, _, number = text.rpartition(":")
            try:
                ratios[name] = float(number)
            except ValueError:
                ratios[name] = -1.0
            if not name or not 0 <= ratios[name] < 1:
                hint = "write NAME:RATIO with a ratio of at least 0 and below 1, separated by spaces"
                raise HetpartError("bad-ratio", f"layers has '{text}'", hint=hint)
        return ratios
