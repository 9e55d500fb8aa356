"""The registry of strategies, and one call that solves a problem with the baselines beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hetpart.errors import HetpartError
from hetpart.partition import cpu, gpu, heft, ilp
from hetpart.partition.baselines import baselines
from hetpart.partition.budget import DEFAULT_LIMIT
from hetpart.partition.problem import Placement, Problem


class Strategy(Protocol):
    """Solves a problem, searching for at most `limit` units (each about 0.75 s of one core)."""

    def __call__(self, problem: Problem, *, limit: float = DEFAULT_LIMIT) -> Placement: ...


STRATEGIES: dict[str, Strategy] = {
    "cpu": cpu.solve,
    "gpu": gpu.solve,
    "heft": heft.solve,
    "ilp": ilp.solve,
}
"""By name; ``ilp`` is the default of the compiler."""


@dataclass(frozen=True)
class Outcome:
    """A placement and, by strategy, those it is measured against."""

    placement: Placement
    baselines: dict[str, Placement]


def require_strategy(name: str) -> Strategy:
    """The strategy called `name`; HetpartError ``unknown-strategy`` if there is none."""
    if name not in STRATEGIES:
        raise HetpartError(
            "unknown-strategy", f"there is no strategy named {name}", hint=f"choose from {', '.join(STRATEGIES)}"
        )
    return STRATEGIES[name]


def solve_all(problem: Problem, strategy: str = "ilp", limit: float = DEFAULT_LIMIT) -> Outcome:
    """`problem` solved by `strategy`, and by every baseline that applies.

    Raises:
        HetpartError: ``unknown-strategy``; or what the strategy raises.
    """
    return Outcome(require_strategy(strategy)(problem, limit=limit), baselines(problem))
