"""Ratios between engines, and the table of them in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.engines import REFERENCE
from benchmarks.turns import Result

OURS = "hetpart"


@dataclass(frozen=True)
class Row:
    """One model: results by engine."""

    model: str
    results: Mapping[str, Result]
    wall: bool = False
    """Compare wall time (several cores) instead of CPU time."""

    def ms(self, engine: str) -> float | None:
        """Milliseconds that count, or None where the engine was not measured."""
        result = self.results.get(engine)
        if result is None:
            return None
        return result.wall_ms if self.wall else result.cpu_ms

    @property
    def fastest_other(self) -> str | None:
        """The fastest engine but hetpart."""
        times = {name: ms for name in self.results if name != OURS and (ms := self.ms(name)) is not None}
        return min(times, key=times.__getitem__, default=None)

    def ratio(self, other: str | None) -> float | None:
        """hetpart's time over `other`'s: below 1, hetpart is faster."""
        ours, theirs = self.ms(OURS), None if other is None else self.ms(other)
        return None if ours is None or theirs is None else ours / theirs


def geometric_mean(values: Iterable[float | None]) -> float | None:
    """Of those that are numbers; None if none is."""
    numbers = [value for value in values if value is not None]
    return math.exp(math.fsum(map(math.log, numbers)) / len(numbers)) if numbers else None


def markdown(rows: Sequence[Row], engines: Sequence[str]) -> str:
    """The table, and below it why an engine has no time for a model."""
    heads = ["model", *(f"{name} ms" for name in engines), "hetpart / onnxruntime", "hetpart / fastest other"]
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)]]
    for row in rows:
        fastest = row.fastest_other
        cells = [_time(row, name) for name in engines]
        to_fastest = f"{_ratio(row.ratio(fastest))} ({fastest})" if row.ratio(fastest) is not None else "–"
        lines.append([row.model, *cells, _ratio(row.ratio(REFERENCE)), to_fastest])
    means = [_ratio(geometric_mean(row.ratio(name) for row in rows)) if name != OURS else "" for name in engines]
    fastest_mean = geometric_mean(row.ratio(row.fastest_other) for row in rows)
    lines.append(
        ["**geometric mean of hetpart / it**", *means, _ratio(geometric_mean(row.ratio(REFERENCE) for row in rows)),
         _ratio(fastest_mean)]
    )  # fmt: skip
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = {
        f"- {name}, {row.model}: {result.status}: {result.reason}" if result.status != "absent" else
        f"- {name}: absent: {result.reason}"
        for row in rows
        for name, result in row.results.items()
        if result.status != "measured"
    }  # fmt: skip
    return "\n".join([text, "", *sorted(notes)]).rstrip()


def _time(row: Row, engine: str) -> str:
    result, ms = row.results.get(engine), row.ms(engine)
    if ms is None:
        return result.status if result else "–"
    return f"{ms:.2f}" if ms < 100 else f"{ms:.1f}"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
