"""What low-rank has to say: every layer, what it was split into at which error, and why the rest stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hetpart.passes.base import Pass
from hetpart.passes.edit import Array
from hetpart.passes.lowrank.candidates import rank_text
from hetpart.passes.lowrank.choose import Choice, Decision, Prices, Rule
from hetpart.passes.lowrank.layers import Layer


@dataclass(frozen=True)
class LayerNote:
    """A convolution or product, as the pass left it.

    Attributes:
        name: the node.
        op: its operator.
        scheme: how it was split (see hetpart.passes.lowrank.decompose), None if it stays.
        ranks: what the scheme keeps; for tucker of inputs and of outputs, None where that side is whole.
        full: the ranks that lose nothing.
        weight_error: relative L2 distance of the factors' product, rounded to the dtype, from the weight.
        parameters_before: of the weight, 0 if the pass could not look at it; `parameters_after`: of the factors.
        macs_before: multiply-adds of the layer, 0 likewise; `macs_after`: of the factors.
        gain_us: estimated time that the target saves if this layer alone is split; None without a target.
        reason: why it stays, or None.
    """

    name: str
    op: str
    scheme: str | None
    ranks: tuple[int | None, ...]
    full: tuple[int, ...]
    weight_error: float | None
    parameters_before: int
    parameters_after: int
    macs_before: int
    macs_after: int
    gain_us: float | None
    reason: str | None


@dataclass(frozen=True)
class LowRankNote:
    """All layers of a model, as one run of the pass left them.

    Attributes:
        name: the pass with its options.
        target: the target's name, empty without one.
        layers: in the order of the graph.
        before_us: estimated time of the model before, as `hetpart.passes.base.Context` has it, None without a target.
        after_us: and after.
        wanted: share of the time that was to be saved; None where no such goal was set.
    """

    name: str
    target: str
    layers: tuple[LayerNote, ...]
    before_us: float | None
    after_us: float | None
    wanted: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """What was split and what that saves, then the largest layers that were and that were not: five of each."""
        split = [layer for layer in self.layers if layer.scheme is not None]
        if not split:
            text = [f"{self.name}: nothing to do, {'no layer pays' if self.layers else 'no convolution and no product'}"]
        else:
            before, after = (
                sum(count) for count in zip(*((n.parameters_before, n.parameters_after) for n in split), strict=True)
            )
            macs = sum(layer.macs_before - layer.macs_after for layer in split)
            text = [
                f"{self.name}: {len(split)} of {len(self.layers)} layers factorised, "
                f"their parameters {before / 1e6:.2f} -> {after / 1e6:.2f} M, {macs / 1e6:.1f} M multiply-adds fewer"
            ]
        if self.before_us is not None and self.after_us is not None:
            change = 100 * (self.after_us / self.before_us - 1) if self.before_us else 0.0
            goal = f", asked for -{100 * self.wanted:g} %" if self.wanted is not None else ""
            text.append(
                f"  {self.before_us / 1e3:.2f} -> {self.after_us / 1e3:.2f} ms ({change:+.1f} %{goal}), "
                "estimated for the best single processor"
            )
        return [*text, *_some(split, _split_line, "were"), *_some(self._staying(), _stay_line, "do")]

    def _staying(self) -> list[LayerNote]:
        return [layer for layer in self.layers if layer.scheme is None]


_SHOWN = 5


def _some(layers: Sequence[LayerNote], line: Any, verb: str) -> list[str]:
    """A line for each of those with the most multiply-adds, and one for the rest."""
    largest = sorted(layers, key=lambda layer: -layer.macs_before)
    rest = len(largest) - _SHOWN
    more = [f"  so {verb} {rest} more layers"] if rest > 0 else []
    return [*(line(layer) for layer in largest[:_SHOWN]), *more]


def _split_line(layer: LayerNote) -> str:
    return (
        f"  {layer.name}: {layer.scheme}, {rank_text(layer.ranks, layer.full)}, "
        f"weight error {100 * (layer.weight_error or 0.0):.1f} %"
    )


def _stay_line(layer: LayerNote) -> str:
    return f"  {layer.name} stays: {layer.reason}"


def low_rank_note(
    step: Pass, choice: Choice, prices: Prices, decisions: Sequence[Decision], errors: dict[Layer, float]
) -> LowRankNote:
    chosen = [decision.chosen for decision in decisions if decision.chosen is not None]
    before, saved = prices.before_us, prices.saved_us(chosen)
    return LowRankNote(
        name=str(step),
        target=prices.target,
        layers=tuple(_layer_note(decision, errors) for decision in decisions),
        before_us=before,
        after_us=None if before is None or saved is None else before - saved,
        wanted=choice.amount if choice.rule is Rule.GAIN else None,
    )


def _layer_note(decision: Decision, errors: dict[Layer, float]) -> LayerNote:
    layer, chosen = decision.layer, decision.chosen
    count, macs = (layer.parameters, layer.macs) if isinstance(layer, Layer) else (0, 0)
    return LayerNote(
        name=layer.name,
        op=layer.node.op_type,
        scheme=chosen.scheme if chosen is not None else None,
        ranks=chosen.ranks if chosen is not None else (),
        full=chosen.full if chosen is not None else (),
        weight_error=errors.get(layer) if isinstance(layer, Layer) else None,
        parameters_before=count,
        parameters_after=chosen.parameters if chosen is not None else count,
        macs_before=macs,
        macs_after=chosen.macs if chosen is not None else macs,
        gain_us=decision.gain_us,
        reason=decision.reason,
    )


def relative_error(weight: Array, factors: Sequence[Array]) -> float:
    """Relative L2 distance of what `factors` make together from `weight`."""
    product = compose(factors)
    wanted = weight.astype(np.float64)
    return float(np.linalg.norm(product - wanted) / np.linalg.norm(wanted))


def compose(factors: Sequence[Array]) -> Array:
    """The weight [outputs, inputs, *kernel] that factors stand for whose kernels lie along different axes."""

    def matrices(factor: Array) -> Array:
        return np.ascontiguousarray(np.moveaxis(factor, (0, 1), (-2, -1)), np.float64)

    product = matrices(factors[0])
    for factor in factors[1:]:
        product = matrices(factor) @ product
    result: Array = np.moveaxis(product, (-2, -1), (0, 1))
    return result
