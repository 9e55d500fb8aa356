"""How well a profile explains the very plans that it was measured by.

Each plan is predicted from the profile alone, as `hetpart compile --profile` predicts, and compared with its runs
without a recorder. What differs is not noise of other minutes but what the model of a schedule leaves out: contention
above all.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hetpart.compiler import Decision
from hetpart.forecast import Circumstances
from hetpart.formulate import formulate
from hetpart.partition import Mode, Placement, Problem
from hetpart.partition.instance import Instance
from hetpart.profile import Profile
from hetpart.profile.apply import with_times
from hetpart.profile.summary import Run, middle
from hetpart.profile.traces import PlanTraces


@dataclass(frozen=True)
class PlanCheck:
    """One plan; microseconds of a call, copies of inputs and outputs included.

    Attributes:
        plan: its name (see hetpart.profiler.bundle).
        predicted_us: from the profile.
        measured_us: median.
    """

    plan: str
    predicted_us: float
    measured_us: float

    @property
    def ratio(self) -> float:
        return self.predicted_us / self.measured_us

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio}


def check(
    profile: Profile, decision: Decision, plans: dict[str, tuple[Sequence[Run], PlanTraces]]
) -> tuple[PlanCheck, ...]:
    """Predicted and measured latency of every plan.

    Args:
        profile: that was made of the plans.
        decision: of the model and target that were measured.
        plans: by name, recorded runs and all traces.
    """
    assignment, shared = decision.assignment, decision.shared
    applied = with_times(profile, assignment, decision.target, decision.costs, shared)
    problem = formulate(
        assignment, applied.target, applied.costs, shared, start_us=applied.start_us, end_us=applied.end_us
    )
    days = Circumstances(problem, applied.target)
    found = []
    for name, (runs, traces) in plans.items():
        predicted_us = days.forecast(_placement(problem, middle(runs)[0])).median_us
        found.append(PlanCheck(name, predicted_us, statistics.median(traces.call_us)))
    return tuple(found)


def _placement(problem: Problem, run: Run) -> Placement:
    """What ran where and in which order, timed by `problem`."""
    instance = Instance.of(problem)
    ran = {sample.unit: sample for sample in run.samples}
    made_by: dict[str, list[str]] = {}
    for tensor in problem.tensors:
        for consumer in tensor.consumers:
            made_by.setdefault(consumer, []).append(tensor.producer)
    modes: dict[str, Mode] = {}
    starts: dict[str, int] = {}
    for task in problem.tasks:  # in topological order; the clocks of two processors may differ by some microseconds
        sample = ran.get(task.name)
        mode = None if sample is None else task.mode_on(sample.processor)
        modes[task.name] = mode or task.modes[0]
        start_us = 0 if sample is None else int(sample.start_us)
        starts[task.name] = max([start_us, *(starts[maker] for maker in made_by.get(task.name, ()))])
    schedule = instance.schedule(Placement("measured", modes, starts, max(starts.values()), 0, "feasible", ()))
    return instance.placement("measured", instance.dag.serial(schedule.options, schedule.order()), 0)
