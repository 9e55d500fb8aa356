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
    """Solves a problem, searching for at most `limit` units of CP-SAT's deterministic time."""

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


def solve_all(problem: Problem, strategy: str = "ilp", limit: float = DEFAULT_LIMIT) -> Outcome:
    """`problem` solved by `strategy`, and by every baseline that applies.

    Raises:
        HetpartError: ``unknown-strategy``; or what the strategy raises.
    """
    if strategy not in STRATEGIES:
        raise HetpartError(
            "unknown-strategy", f"there is no strategy named {strategy}", hint=f"choose from {', '.join(STRATEGIES)}"
        )
    return Outcome(STRATEGIES[strategy](problem, limit=limit), baselines(problem))
