"""Which layers are split, how, and at which rank: by energy, by parameters, or by the time that the target saves."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from hetpart.passes.lowrank.candidates import Candidate, candidates, schemes_of
from hetpart.passes.lowrank.decompose import SCHEMES
from hetpart.passes.lowrank.layers import Layer, Passed
from hetpart.passes.lowrank.prices import Prices
from hetpart.passes.lowrank.whiten import Metric

LEAST_KEPT = 0.5
"""No layer loses more of its energy for time: what is left must still be able to carry something."""

TRIALS = 6
"""Ranks of a scheme that are priced where time decides; evenly spread over what pays."""

ROUNDING = 1e-12
"""Energy that may be missing from all of it: what rounding a weight to float32 adds to its spectrum is less."""


class Rule(Enum):
    """What decides the rank of a layer."""

    ENERGY = "energy"  # the least work that keeps this share of the energy
    RATIO = "ratio"  # the most energy in this share of the parameters
    GAIN = "gain"  # over all layers the least energy lost until the model's time is this share shorter


@dataclass(frozen=True)
class Choice:
    """The options of the pass, checked."""

    rule: Rule
    amount: float
    scheme: str
    multiple: int


@dataclass(frozen=True)
class Decision:
    """What becomes of a layer.

    Attributes:
        layer: the layer.
        chosen: what it is split into; None if it stays.
        reason: why it stays; None if it is split.
        gain_us: predicted time that the target saves if this layer alone is split (if it stays: by the best split that
            was considered); None where that was not asked.
    """

    layer: Layer | Passed
    chosen: Candidate | None
    reason: str | None
    gain_us: float | None = None


def choose(
    layers: Sequence[Layer | Passed], choice: Choice, prices: Prices, metrics: Mapping[Layer, Metric]
) -> list[Decision]:
    """A decision on every layer, in the same order; `metrics` are there where calibration data are."""
    offers: dict[Layer, dict[Candidate, float | None]] = {}
    decisions: dict[Layer | Passed, Decision] = {}
    for layer in layers:
        if isinstance(layer, Passed):
            decisions[layer] = Decision(layer, None, layer.reason)
            continue
        found = _shortlist(layer, choice, metrics.get(layer))
        if isinstance(found, str):
            decisions[layer] = Decision(layer, None, found)
            continue
        gains = {candidate: prices.saved_us([candidate]) for candidate in found}
        if not any(_pays(candidate, gain) for candidate, gain in gains.items()):
            decisions[layer] = _loss(layer, gains, prices.target)
            continue
        offers[layer] = {candidate: gain for candidate, gain in gains.items() if _pays(candidate, gain)}
    chosen = _by_gain(offers, choice.amount, prices) if choice.rule is Rule.GAIN else _by_layer(offers, choice.rule)
    for layer, gains in offers.items():
        best = chosen.get(layer)
        reason = None if best is not None else "others gain more for less"
        decisions[layer] = Decision(layer, best, reason, gains[best] if best is not None else None)
    return [decisions[layer] for layer in layers]


def _shortlist(layer: Layer, choice: Choice, metric: Metric | None) -> list[Candidate] | str:
    """The candidates worth pricing, or why there is none."""
    schemes = schemes_of(layer, choice.scheme)
    if not schemes:
        return f"{choice.scheme} does not apply to a {_kind(layer)}"
    every = _alike(c for scheme in schemes for c in candidates(layer, scheme, choice.multiple, metric))
    if not every:
        full = max(max(SCHEMES[scheme].full(layer.shape)) for scheme in schemes)
        return f"its full rank {full} leaves no smaller multiple of {choice.multiple}"
    count, macs = layer.parameters, layer.macs
    amount = f"{100 * choice.amount:g} %"
    if choice.rule is Rule.ENERGY:
        enough = [[c for c in some if c.kept >= choice.amount - ROUNDING] for some in every]
        found = [min(some, key=lambda c: (c.macs, c.parameters)) for some in enough if some]
        if not found:
            return f"no smaller rank keeps {amount} of its energy"
    elif choice.rule is Rule.RATIO:
        fitting = [[c for c in some if c.parameters <= choice.amount * count] for some in every]
        found = [max(some, key=lambda c: (c.kept, -c.macs)) for some in fitting if some]
        if not found:
            return f"no rank is left that has {amount} of its parameters"
    else:
        found = [c for some in every for c in _spread(some)]
    worth = [c for c in found if c.macs < macs or c.parameters < count]
    if worth:
        return worth
    least = min(found, key=lambda c: c.macs, default=None)
    if least is None:
        return f"no cheaper rank keeps {100 * LEAST_KEPT:g} % of its energy"
    return f"its factors would be more work: {100 * least.macs / macs:.0f} % of its multiplications ({least})"


def _alike(every: Iterable[Candidate]) -> list[list[Candidate]]:
    """Those of one scheme with as many factors: what saves most of them by work need not do so on the target."""
    groups: dict[tuple[str, tuple[bool, ...]], list[Candidate]] = {}
    for candidate in every:
        key = candidate.scheme, tuple(rank is None for rank in candidate.ranks)
        groups.setdefault(key, []).append(candidate)
    return list(groups.values())


def _spread(every: Iterable[Candidate]) -> list[Candidate]:
    """Up to `TRIALS` of those that are cheaper than the layer and keep enough, no other being cheaper and better."""
    front: list[Candidate] = []
    for candidate in sorted(every, key=lambda c: (c.macs, -c.kept)):
        if candidate.macs >= candidate.layer.macs:
            break
        if candidate.kept >= LEAST_KEPT and (not front or candidate.kept > front[-1].kept):
            front.append(candidate)
    step = max(1, -(-len(front) // TRIALS))
    return front[::-1][::step]


def _pays(candidate: Candidate, gain_us: float | None) -> bool:
    """By prediction; without a target by multiplications."""
    return candidate.macs < candidate.layer.macs if gain_us is None else gain_us > 0


def _loss(layer: Layer, gains: Mapping[Candidate, float | None], target: str) -> Decision:
    """The layer stays: none of its candidates pays."""
    best = max(gains, key=lambda c: (gains[c] or 0.0, -c.macs))
    gain = gains[best]
    if gain is None:
        share = 100 * best.macs / layer.macs
        return Decision(layer, None, f"its factors would be more work: {share:.0f} % of its multiplications ({best})")
    return Decision(layer, None, f"no gain on {target}: {abs(gain):.0f} us slower by estimate ({best})", gain)


def _by_layer(offers: Mapping[Layer, Mapping[Candidate, float | None]], rule: Rule) -> dict[Layer, Candidate]:
    """Energy: the scheme that saves most time at equal error; ratio: the one that keeps most at equal size."""

    def merit(gains: Mapping[Candidate, float | None], candidate: Candidate) -> tuple[float, ...]:
        saved = (gains[candidate] or 0.0, float(-candidate.macs))
        return saved if rule is Rule.ENERGY else (candidate.kept, *saved)

    return {layer: max(gains, key=lambda c: merit(gains, c)) for layer, gains in offers.items()}


def _by_gain(
    offers: Mapping[Layer, Mapping[Candidate, float | None]], share: float, prices: Prices
) -> dict[Layer, Candidate]:
    """Steps down in rank, those first that save most time per energy lost, until `share` of the model's time is saved.

    A layer steps along the concave hull of its candidates' savings over their losses, so that the best step is always
    the next one. Where all steps together save less than `share`, all are taken.
    """
    steps = [step for layer, gains in offers.items() for step in _hull(layer, gains)]
    steps.sort(key=lambda step: -step[0])

    def after(count: int) -> dict[Layer, Candidate]:
        return {layer: candidate for _, layer, candidate in steps[:count]}

    def saved(count: int) -> float:
        return prices.saved_us(after(count).values()) or 0.0

    wanted = share * (prices.before_us or 0.0)
    return after(bisect.bisect_left(range(len(steps)), wanted, key=saved))


def _hull(layer: Layer, gains: Mapping[Candidate, float | None]) -> list[tuple[float, Layer, Candidate]]:
    """The steps of one layer, by falling microseconds per energy lost: (that, layer, where the step leads)."""
    hull: list[tuple[float, float, float, Candidate]] = []  # slope, loss, gain
    for candidate in sorted(gains, key=lambda c: (-c.kept, -(gains[c] or 0.0))):
        gain, loss = gains[candidate] or 0.0, max(1 - candidate.kept, 0.0)
        while True:
            _, loss_before, gain_before, _ = hull[-1] if hull else (0.0, 0.0, 0.0, candidate)
            slope = (gain - gain_before) / max(loss - loss_before, 1e-12)
            if not hull or slope <= hull[-1][0]:
                break
            hull.pop()
        if gain > gain_before:
            hull.append((slope, loss, gain, candidate))
    return [(slope, layer, candidate) for slope, _, _, candidate in hull]


def _kind(layer: Layer) -> str:
    kernel = " x ".join(str(size) for size in layer.shape[2:])
    return f"{kernel} convolution" if kernel else layer.node.op_type
