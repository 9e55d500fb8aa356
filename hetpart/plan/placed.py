"""What the planner needs of a placement."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Placed:
    """For each unit its processor, start and duration in microseconds.

    `private` are the units that work in their processor's private memory (see hetpart.plan.private).
    """

    processor: dict[str, str]
    start_us: dict[str, int]
    duration_us: dict[str, int]
    makespan_us: int
    private: frozenset[str] = frozenset()
