"""What low-rank has to say: every layer, what it was split into at which error, and why the rest stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hetpart.passes.base import Pass
from hetpart.passes.lowrank.candidates import rank_text
from hetpart.passes.lowrank.choose import Choice, Decision, Rule
from hetpart.passes.lowrank.layers import Layer
from hetpart.passes.lowrank.prices import Prices
from hetpart.passes.lowrank.result import Result


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
        output_error: L2 error of its output on the calibration data, relative to the output's spread about its mean per
            channel, its input being exact; None without data.
        whitened: the factors were made for the calibration data.
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
    output_error: float | None
    whitened: bool
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
        return [*self._summary(), *_some(self._split(), _split_line, "were"), *_some(self._staying(), _stay_line, "do")]

    def explain(self) -> list[str]:
        """The summary and every layer, in the order of the graph."""
        return [*self._summary(), *(_stay_line(n) if n.scheme is None else _split_line(n) for n in self.layers)]

    def _summary(self) -> list[str]:
        split = self._split()
        if not split:
            why = "no layer can be split with a gain" if self.layers else "there is no convolution and no product"
            text = [f"{self.name}: nothing to do, {why}"]
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
        return text

    def _split(self) -> list[LayerNote]:
        return [layer for layer in self.layers if layer.scheme is not None]

    def _staying(self) -> list[LayerNote]:
        return [layer for layer in self.layers if layer.scheme is None]


_SHOWN = 5


def _some(layers: Sequence[LayerNote], line: Callable[[LayerNote], str], verb: str) -> list[str]:
    """A line for each of those with the most multiply-adds, and one for the rest."""
    largest = sorted(layers, key=lambda layer: -layer.macs_before)
    rest = len(largest) - _SHOWN
    more = [f"  so {verb} {rest} more {'layers' if rest > 1 else 'layer'}"] if rest > 0 else []
    return [*(line(layer) for layer in largest[:_SHOWN]), *more]


def _split_line(layer: LayerNote) -> str:
    error = f"weight error {100 * (layer.weight_error or 0.0):.1f} %"
    if layer.output_error is not None:
        error = f"output error {100 * layer.output_error:.1f} % ({error})"
    return f"  {layer.name}: {layer.scheme}, {rank_text(layer.ranks, layer.full)}, {error}"


def _stay_line(layer: LayerNote) -> str:
    return f"  {layer.name} stays: {layer.reason}"


def low_rank_note(
    step: Pass, choice: Choice, prices: Prices, decisions: Sequence[Decision], results: Mapping[Layer, Result]
) -> LowRankNote:
    chosen = [decision.chosen for decision in decisions if decision.chosen is not None]
    before, saved = prices.before_us, prices.saved_us(chosen)
    return LowRankNote(
        name=str(step),
        target=prices.target,
        layers=tuple(_layer_note(decision, results) for decision in decisions),
        before_us=before,
        after_us=None if before is None or saved is None else before - saved,
        wanted=choice.amount if choice.rule is Rule.GAIN else None,
    )


def _layer_note(decision: Decision, results: Mapping[Layer, Result]) -> LayerNote:
    layer, chosen = decision.layer, decision.chosen
    count, macs = (layer.parameters, layer.macs) if isinstance(layer, Layer) else (0, 0)
    result = results.get(layer) if isinstance(layer, Layer) else None
    return LayerNote(
        name=layer.name,
        op=layer.node.op_type,
        scheme=chosen.scheme if chosen is not None else None,
        ranks=chosen.ranks if chosen is not None else (),
        full=chosen.full if chosen is not None else (),
        weight_error=result.weight_error if result is not None else None,
        output_error=result.output_error if result is not None else None,
        whitened=result.whitened if result is not None else False,
        parameters_before=count,
        parameters_after=chosen.parameters if chosen is not None else count,
        macs_before=macs,
        macs_after=chosen.macs if chosen is not None else macs,
        gain_us=decision.gain_us,
        reason=decision.reason,
    )
