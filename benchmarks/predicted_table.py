"""The table of `benchmarks.predicted`: predicted beside measured latencies."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from hetpart.profile import Spread

GOAL = 0.10
"""Relative error that is allowed."""


@dataclass(frozen=True)
class Row:
    """One network under one strategy; times in microseconds.

    Attributes:
        predicted_us: with a profile; `estimated_us` without one, of the plan that estimates lead to.
        measured: of a call.
        processors: which the plan uses.
        units, measured_units: that move data, and those of them that the profile has where they were placed.
    """

    model: str
    strategy: str
    predicted_us: float
    estimated_us: float
    measured: Spread
    processors: str
    units: int
    measured_units: int

    @property
    def ratio(self) -> float:
        return self.predicted_us / self.measured.median_us

    @property
    def within(self) -> bool:
        return abs(self.ratio - 1) <= GOAL


def document(about: Mapping[str, object], rows: Sequence[Row], failed: Mapping[str, str]) -> dict[str, object]:
    """Everything, for JSON; `failed` says by network why it has no rows."""
    return {
        "schema": 1,
        "machine": about,
        "goal": GOAL,
        "rows": [asdict(row) | {"ratio": row.ratio, "within": row.within} for row in rows],
        "within": sum(row.within for row in rows),
        "median_error": _median_error(rows) if rows else None,
        "failed": dict(failed),
    }


def markdown(about: Mapping[str, object], rows: Sequence[Row], failed: Mapping[str, str]) -> str:
    """The table with a caption that says what was measured, and how many are within the goal."""
    lines = [
        f"{about['date']}, {about['processor']}, one core through LLVM and one through PoCL, wall time of a call; "
        f"hetpart at {about['commit']}. Within {GOAL:.0%}: {sum(row.within for row in rows)} of {len(rows)}; "
        f"median error {_median_error(rows):.1%}.",
        *(f"{model} failed: {why}" for model, why in failed.items()),
        "",
        "| network | strategy | runs on | measured units | estimated ms | predicted ms | measured ms (p10, p90) | "
        "predicted / measured |",
        "|---|---|---|--:|--:|--:|--:|--:|",
        *(line(row) for row in rows),
    ]
    return "\n".join(lines)


def line(row: Row) -> str:
    """Of the table."""
    spread = row.measured
    measured = f"{spread.median_us / 1e3:.2f} ({spread.p10_us / 1e3:.2f}, {spread.p90_us / 1e3:.2f})"
    return (
        f"| {row.model} | {row.strategy} | {row.processors} | {row.measured_units} of {row.units} | "
        f"{row.estimated_us / 1e3:.2f} | {row.predicted_us / 1e3:.2f} | {measured} | "
        f"{row.ratio:.3f}{'' if row.within else ' (!)'} |"
    )


def _median_error(rows: Sequence[Row]) -> float:
    return statistics.median(abs(row.ratio - 1) for row in rows)
