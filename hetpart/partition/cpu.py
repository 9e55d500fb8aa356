"""Strategy ``cpu``: everything on the host."""

from __future__ import annotations

from hetpart.errors import HetpartError
from hetpart.partition.bounds import lower_bound
from hetpart.partition.budget import DEFAULT_LIMIT
from hetpart.partition.instance import Instance
from hetpart.partition.problem import Placement, Problem


def solve(problem: Problem, *, limit: float = DEFAULT_LIMIT) -> Placement:
    """One task after the other, in topological order. Needs no search, hence no `limit`.

    Raises:
        HetpartError: ``cpu-cannot-run`` if a task has no mode on the host.
    """
    del limit
    for task in problem.tasks:
        if task.mode_on(problem.host) is None:
            raise HetpartError(
                "cpu-cannot-run",
                f"{problem.host} cannot run this unit, hence not the model",
                node=task.name,
                hint="choose a strategy that uses several processors, such as ilp",
            )
    instance = Instance.of(problem)
    processors = sorted(problem.processors, key=lambda name: name != problem.host)
    dag = instance.preferring(processors)
    schedule = dag.serial([options[0] for options in dag.options], range(len(dag)))
    return instance.placement("cpu", schedule, lower_bound(instance.dag))
