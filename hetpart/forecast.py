"""What a placement takes on a good and on a bad day, and whether it is still the right one then.

The solver works with the median of every transfer and with processors that do not disturb each other. Here a finished
placement is replayed with transfers at their 5th, 50th and 95th percentile, all at once, and with kernels that slow
each other down where both processors compute. A plan on several processors must not be longer than the best single
processor on any such day; one that is gives way to the plan that is best for slow transfers, or to that processor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from hetpart.formulate import INPUTS, OUTPUTS, with_transfers_at
from hetpart.partition import Outcome, Placement, Problem
from hetpart.partition.instance import Instance
from hetpart.partition.replay import replay
from hetpart.targets.schema import Target


@dataclass(frozen=True)
class Forecast:
    """Predicted latency, contention included, with transfers at a percentile; microseconds."""

    p5_us: int
    median_us: int
    p95_us: int

    def no_longer_than(self, other: Forecast) -> bool:
        """On a usual day and on a bad one."""
        return self.median_us <= other.median_us and self.p95_us <= other.p95_us


@dataclass(frozen=True)
class Forecasts:
    """Those of the plan and, by strategy, of the baselines.

    `refused` is the forecast of a plan on several processors that the solver preferred and that would have lost to one
    processor; None if there was none.
    """

    plan: Forecast
    baselines: dict[str, Forecast]
    refused: Forecast | None = None


class Circumstances:
    """The days of a problem on a target."""

    def __init__(self, problem: Problem, target: Target) -> None:
        self.problem = problem
        self.good = with_transfers_at("p5", problem, target)
        self.bad = with_transfers_at("p95", problem, target)
        self._contention = {p.name: p.cost.contention for p in target.processors if p.cost is not None}

    def forecast(self, placement: Placement) -> Forecast:
        days = (self.good, self.problem, self.bad)
        p5, median, p95 = (replay(day, placement, self._contention) for day in days)
        return Forecast(min(p5, median), median, max(median, p95))


def settle(
    outcome: Outcome, circumstances: Circumstances, solve: Callable[[Problem], Placement] | None
) -> tuple[Outcome, Forecasts]:
    """`outcome` with a plan that no single processor beats, and the forecasts of everything in it.

    Args:
        outcome: of the usual day's problem.
        circumstances: the days.
        solve: finds another plan for the bad day's problem; None: the plan stays what it is, whatever comes of it.
    """
    beside = {name: circumstances.forecast(placement) for name, placement in outcome.baselines.items()}
    plan = circumstances.forecast(outcome.placement)
    single = {name: each for name, each in beside.items() if len(_used(outcome.baselines[name])) == 1}
    if solve is None or not single or len(_used(outcome.placement)) == 1 or _stands(plan, single):
        return outcome, Forecasts(plan, beside)
    careful = _retimed(circumstances.problem, solve(circumstances.bad), outcome.placement)
    if not _stands(circumstances.forecast(careful), single):
        best = min(single, key=lambda name: (single[name].median_us, name))
        careful = _retimed(circumstances.problem, outcome.baselines[best], outcome.placement)
    return replace(outcome, placement=careful), Forecasts(circumstances.forecast(careful), beside, refused=plan)


def _stands(plan: Forecast, single: Mapping[str, Forecast]) -> bool:
    return all(plan.no_longer_than(other) for other in single.values())


def _used(placement: Placement) -> set[str]:
    """Processors that work; whoever only holds inputs and outputs does not, though a call may take time to begin."""
    return {m.processor for task, m in placement.modes.items() if m.length_us and task not in (INPUTS, OUTPUTS)}


def _retimed(problem: Problem, placement: Placement, instead_of: Placement) -> Placement:
    """The modes and the order of `placement` in `problem`, with the strategy and the bound of the plan it replaces."""
    instance = Instance.of(problem)
    schedule = instance.schedule(placement)
    timed = instance.dag.serial(schedule.options, schedule.order())
    return instance.placement(instead_of.strategy, timed, instead_of.lower_bound_us)
