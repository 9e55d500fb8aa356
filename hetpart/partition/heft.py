"""Strategy ``heft``: the better of two list schedules, HEFT and PEFT. Fast, usually good, no promise."""

from __future__ import annotations

from hetpart.partition.bounds import lower_bound
from hetpart.partition.budget import DEFAULT_LIMIT
from hetpart.partition.instance import Instance
from hetpart.partition.list_schedule import best_list_schedule
from hetpart.partition.problem import Placement, Problem


def solve(problem: Problem, *, limit: float = DEFAULT_LIMIT) -> Placement:
    """Needs no search, hence no `limit`."""
    del limit
    instance = Instance.of(problem)
    return instance.placement("heft", best_list_schedule(instance.dag), lower_bound(instance.dag))
