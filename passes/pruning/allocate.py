"""How many channels of which group go: the same share everywhere, or where the target gains most."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from hetpart.errors import HetpartError
from hetpart.passes.base import Context
from hetpart.passes.edit import Array
from hetpart.passes.pruning.evidence import evidence
from hetpart.passes.pruning.groups import Group
from hetpart.passes.pruning.importance import importance
from hetpart.passes.pruning.labels import Labelling, Labels
from hetpart.passes.pruning.surgery import cut

ALLOCATIONS = ("uniform", "latency")

MOST = 0.9
"""No group loses a larger share by allocation: what is left of a layer must still be able to carry something."""


@dataclass(frozen=True)
class Choice:
    """The options of the pass, checked; `ratios` holds those of single groups."""

    ratio: float
    measure: str
    multiple: int
    allocation: str
    ratios: Mapping[str, float]


@dataclass(frozen=True)
class Decision:
    """What becomes of a group.

    Attributes:
        group: the group.
        kept: channels that stay.
        reason: why none goes; None if some do.
        gain_us: predicted time that it saves on the target if it alone is pruned; None where that was not asked.
    """

    group: Group
    kept: int
    reason: str | None = None
    gain_us: float | None = None


def allocate(
    model: ir.Model, labelling: Labelling, groups: Sequence[Group], choice: Choice, context: Context
) -> tuple[list[Decision], Labels]:
    """A decision on every group, and the labels of all channels that go.

    Raises:
        HetpartError: ``unknown-group`` if a ratio is given for a group that is not there; what the importance needs
            may be missing (`hetpart.passes.pruning.evidence.evidence`).
    """
    _require_groups(choice.ratios, groups)
    free = [group for group in groups if group.frozen is None]
    known = evidence(model, free, choice.measure, context.calibration)
    scores = {group: importance(group, choice.measure, known) for group in free}
    gains = _Gains(model, labelling, context, scores)
    if choice.allocation == "latency":
        kept = _by_latency(scores, choice, gains)
    else:
        kept = {group: _uniform(group, choice) for group in scores}
    decisions = [_decide(group, kept.get(group, len(group)), choice, gains) for group in groups]
    dropped = [least(d.group, scores[d.group], d.kept) for d in decisions if d.reason is None]
    return decisions, np.concatenate([np.empty(0, np.int64), *dropped])


def least(group: Group, scores: Array, kept: int) -> Labels:
    """The labels of all but the `kept` most important channels; of equal ones the last go."""
    order = np.argsort(-scores, kind="stable")
    labels: Labels = group.labels[order[kept:]]
    return labels


def step_of(group: Group, multiple: int) -> int:
    """Channels of the group that make a multiple of `multiple` channels of the layers."""
    return multiple // math.gcd(multiple, group.copies)


def _uniform(group: Group, choice: Choice) -> int:
    """Channels that stay, rounded up to the multiple."""
    step = step_of(group, choice.multiple)
    wanted = len(group) * (1 - choice.ratios.get(group.name, choice.ratio))
    return min(len(group), max(1, math.ceil(wanted / step - 1e-9)) * step)


def _decide(group: Group, kept: int, choice: Choice, gains: _Gains) -> Decision:
    count = len(group)
    if group.frozen is not None:
        return Decision(group, count, group.frozen)
    if choice.ratios.get(group.name) == 0:
        return Decision(group, count, "its ratio is 0")
    if kept == count:
        reason = f"{count} channels leave no multiple of {choice.multiple} to remove"
        return Decision(group, count, reason if choice.allocation == "uniform" else "others gain more for less")
    gain = gains.of(group, kept)
    if gain is not None and gain <= 0:
        return Decision(group, count, f"no gain on {gains.target}: {-gain:.0f} us slower by estimate", gain)
    return Decision(group, kept, None, gain)


def _by_latency(scores: Mapping[Group, Array], choice: Choice, gains: _Gains) -> dict[Group, int]:
    """Steps of channels go one by one, each time where most time is saved per importance lost.

    What a group saves is taken to grow evenly with the channels that it loses; it is predicted at the uniform ratio.
    """
    fixed = {group: _uniform(group, choice) for group in scores if group.name in choice.ratios}
    free = [group for group in scores if group not in fixed]
    kept = {group: len(group) for group in free} | fixed
    budget = choice.ratio * sum(len(group) for group in free)
    offers = []
    for group in free:
        step, probe = step_of(group, choice.multiple), max(1, round(len(group) * (1 - choice.ratio)))
        gain = gains.of(group, probe) or 0.0
        if gain <= 0 or probe == len(group):
            continue
        per_channel = gain / (len(group) - probe)
        ranked = np.sort(scores[group])
        for start in range(0, len(group) - step, step):
            # the first step also levels what is no multiple, as the last channels do in a layer
            width = step if start or len(group) % step == 0 else len(group) % step
            if start + width > MOST * len(group):
                break
            lost = float(ranked[start : start + width].sum()) / float(ranked.sum() or 1.0)
            offers.append((per_channel * width / max(lost, 1e-12), group, width))
    for _, group, width in sorted(offers, key=lambda offer: -offer[0]):
        if budget < width:
            break
        kept[group] -= width
        budget -= width
    return kept


class _Gains:
    """Predicted microseconds saved by pruning one group alone; None without a target."""

    def __init__(self, model: ir.Model, labelling: Labelling, context: Context, scores: Mapping[Group, Array]) -> None:
        self.target = context.target
        self._labelling = labelling
        self._model, self._predict, self._scores = model, context.predict_us, scores
        self._before = self._predict(model) if self._predict is not None else 0.0
        self._known: dict[tuple[int, int], float] = {}

    def of(self, group: Group, kept: int) -> float | None:
        if self._predict is None:
            return None
        key = (int(group.labels[0]), kept)
        if key not in self._known:
            probe = self._model.clone()
            cut(probe.graph, self._labelling, least(group, self._scores[group], kept), shapes_only=True)
            self._known[key] = self._before - self._predict(probe)
        return self._known[key]


def _require_groups(ratios: Mapping[str, float], groups: Sequence[Group]) -> None:
    known = [group.name for group in groups]
    for name in ratios:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else "compress --explain lists the groups"
            raise HetpartError("unknown-group", f"there is no group of channels '{name}'", hint=hint)
