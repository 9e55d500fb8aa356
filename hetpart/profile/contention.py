"""How much processors slow each other down: runs of two plans at once, beside runs of each alone in the same round.

Units of a run that take ``alone`` on their own and took ``lasted``, while another processor computed for ``beside`` of
it, were slowed down by a factor f: ``lasted = alone - beside / f + beside``. All are sums over the units of a run,
because a single unit's time varies by more than what is looked for; so does a machine's speed between rounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hetpart.profile.data import Contention, middle_mean
from hetpart.profile.summary import Run

LEAST_BESIDE = 0.25
"""Of what a run computed on a processor, the share that must have been beside others for the run to count."""


@dataclass
class _Sums:
    """Microseconds on one processor in one run."""

    lasted: float = 0.0
    alone: float = 0.0
    beside: float = 0.0

    @property
    def factor(self) -> float | None:
        slowed = self.alone - self.lasted + self.beside
        return self.beside / slowed if slowed > 0 and self.beside >= LEAST_BESIDE * self.lasted else None


def contention(alone: Mapping[str, Sequence[Run]], together: Iterable[Mapping[str, Run]]) -> tuple[Contention, ...]:
    """By processor, as far as it was measured.

    Args:
        alone: runs by plan, one of every round.
        together: runs of two of those plans at the same time, by plan; a pair of every round.
    """
    factors: dict[str, list[float]] = {}
    for number, pair in enumerate(together):
        for plan, run in pair.items():
            (other,) = (other for name, other in pair.items() if name != plan)
            for processor, sums in _sums(run, other, alone[plan][number]).items():
                if sums.factor is not None:
                    factors.setdefault(processor, []).append(sums.factor)
    return tuple(_summed_up(processor, values) for processor, values in factors.items())


def _summed_up(processor: str, factors: Sequence[float]) -> Contention:
    p10, p90 = np.percentile(factors, (10, 90))
    return Contention(
        processor, round(middle_mean(factors), 4), round(float(p10), 4), round(float(p90), 4), len(factors)
    )


def _sums(run: Run, beside: Run, alone: Run) -> dict[str, _Sums]:
    """By processor, over those units of `run` that did not have to share it with `beside`."""
    usual = {(sample.unit, sample.processor): sample.end_us - sample.start_us for sample in alone.samples}
    shift = beside.start_us - run.start_us
    spans: dict[str, list[tuple[float, float]]] = {}
    for sample in beside.samples:
        spans.setdefault(sample.processor, []).append((sample.start_us + shift, sample.end_us + shift))
    others = {processor: np.array(times) for processor, times in spans.items()}
    found: dict[str, _Sums] = {}
    for sample in run.samples:
        time_us = usual.get((sample.unit, sample.processor))
        overlaps = {name: _overlap(sample.start_us, sample.end_us, times) for name, times in others.items()}
        if time_us is not None and not overlaps.pop(sample.processor, 0.0):
            sums = found.setdefault(sample.processor, _Sums())
            sums.lasted += sample.end_us - sample.start_us
            sums.alone += time_us
            sums.beside += sum(overlaps.values())
    return found


def _overlap(start_us: float, end_us: float, spans: np.ndarray) -> float:
    """Of a time, what also lies in `spans`: pairs of start and end that do not overlap."""
    return float(np.clip(np.minimum(end_us, spans[:, 1]) - np.maximum(start_us, spans[:, 0]), 0.0, None).sum())
