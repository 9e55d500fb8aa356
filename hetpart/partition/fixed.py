"""A schedule where the mode of every task is given: what a placement that somebody else chose would take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hetpart.partition.bounds import lower_bound
from hetpart.partition.instance import Instance
from hetpart.partition.list_schedule import best_list_schedule
from hetpart.partition.problem import Mode, Placement, Problem


def schedule(problem: Problem, modes: Mapping[str, Mode]) -> Placement:
    """The better of two list schedules of `problem` with each task of `modes` in the mode that is named there.

    A mode may be one that the task has not, to ask what would be if it had it.

    Raises:
        InternalError: ``bad-problem`` if a mode names a processor that the problem has not.
    """
    tasks = tuple(replace(task, modes=(modes[task.name],)) if task.name in modes else task for task in problem.tasks)
    instance = Instance.of(replace(problem, tasks=tasks))
    return instance.placement("fixed", best_list_schedule(instance.dag), lower_bound(instance.dag))
