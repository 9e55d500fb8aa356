"""What is known of the accuracy that compression costs: scores of the original, then after each lossy pass."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from hetpart.compression.intervals import Interval

NOT_EVALUATED = "accuracy not evaluated"

ORIGINAL = "original"
"""What scores call the model before the first lossy pass."""


@dataclass(frozen=True)
class Score:
    """One number of one model.

    Attributes:
        model: `ORIGINAL`, or the pass that made the model, with its options.
        value: in the unit of the metric; higher is better.
        interval: 95 % interval of it; None where nothing is known of its spread.
        drop: how much less than the original's.
        drop_interval: 95 % interval of that.
    """

    model: str
    value: float
    interval: Interval | None = None
    drop: float = 0.0
    drop_interval: Interval | None = None


@dataclass(frozen=True)
class Accuracy:
    """A metric that says how well a model does its work, before and after.

    Attributes:
        metric: its name.
        data: the file of samples; empty if a function has its own.
        n: how many samples; None if that is not known.
        seed: of whatever is random.
        intervals: how the intervals were computed; empty if there are none.
        percent: values are percentages, drops percentage points; else both have a unit of their own.
        scores: of the original, then after every lossy pass.
    """

    metric: str
    data: str
    n: int | None
    seed: int
    intervals: str
    percent: bool
    scores: tuple[Score, ...]

    @property
    def drop(self) -> float:
        """What the last model does worse than the original."""
        return self.scores[-1].drop

    def amount(self, value: float) -> str:
        """A drop in words."""
        return f"{value:.1f} percentage points" if self.percent else f"{value:.4g}"

    def text(self) -> str:
        first, last = self.scores[0], self.scores[-1]
        spread = _spread(last.drop_interval, self.percent)
        samples = "" if self.n is None else f" on {self.n} samples"
        change = f"drop {self.amount(last.drop)}{f', 95 % interval {spread}' if spread else ''}"
        return f"{self.metric} {self._value(first)} -> {self._value(last)}{samples} ({change})"

    def lines(self) -> Iterator[str]:
        samples = "" if self.n is None else f", {self.data}, n = {self.n}"
        yield f"{self.metric}{samples}, seed {self.seed}"
        width = max(len(score.model) for score in self.scores)
        for score in self.scores:
            text = f"  {score.model:<{width}}  {self._value(score)}{_bracketed(score.interval, self.percent)}"
            if score is not self.scores[0]:
                text += f"  drop {self.amount(score.drop)}{_bracketed(score.drop_interval, self.percent)}"
            yield text
        if self.intervals:
            yield f"  in brackets 95 % intervals: {self.intervals}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def _value(self, score: Score) -> str:
        return f"{score.value:.1f} %" if self.percent else f"{score.value:.4g}"


@dataclass(frozen=True)
class Likeness:
    """How alike an output of two models is, over some inputs.

    Attributes:
        model: the pass that made the second model.
        output: name of the output.
        cosine: of the angle between the two outputs, the mean over samples; 1 if they point the same way.
        interval: 95 % interval of that mean.
        snr_db: ``10 log10(sum y^2 / sum (y - y')^2)`` over all samples; infinite if equal.
    """

    model: str
    output: str
    cosine: float
    interval: Interval
    snr_db: float


@dataclass(frozen=True)
class Similarity:
    """How alike the outputs of original and compressed models are: no accuracy, but all there is without labels.

    Attributes:
        data: what inputs were used; `n`, how many.
        seed: of the intervals' bootstrap.
        scores: after every lossy pass, per output.
    """

    data: str
    n: int
    seed: int
    scores: tuple[Likeness, ...]

    def text(self) -> str:
        last = [score for score in self.scores if score.model == self.scores[-1].model]
        worst = min(last, key=lambda score: score.cosine)
        what = f"cosine {worst.cosine:.4f}, SNR {worst.snr_db:.1f} dB"
        return f"{NOT_EVALUATED}; outputs compared on {self.n} samples: {what}"

    def lines(self) -> Iterator[str]:
        yield f"{NOT_EVALUATED}: there are no labels; outputs beside the original's"
        width = max(len(score.model) for score in self.scores)
        outputs = len({score.output for score in self.scores})
        for score in self.scores:
            name = f" of {score.output}" if outputs > 1 else ""
            low, high = score.interval
            cosine = f"cosine {score.cosine:.4f} ({low:.4f} to {high:.4f})"
            yield f"  {score.model:<{width}}  {cosine}, SNR {score.snr_db:.1f} dB{name}"
        samples = f"n = {self.n}, seed {self.seed}"
        yield f"  {self.data}, {samples}; in brackets 95 % intervals of the mean cosine (bootstrap)"
        yield "  passes that were fitted to these samples do better on them than on others"

    def to_json(self) -> dict[str, Any]:
        found = asdict(self)
        for score in found["scores"]:
            if math.isinf(score["snr_db"]):
                score["snr_db"] = None  # JSON has no infinities
        return found


def _spread(interval: Interval | None, percent: bool) -> str:
    if interval is None:
        return ""
    return f"{interval[0]:.1f} to {interval[1]:.1f}" if percent else f"{interval[0]:.4g} to {interval[1]:.4g}"


def _bracketed(interval: Interval | None, percent: bool) -> str:
    return f" ({_spread(interval, percent)})" if interval is not None else ""
