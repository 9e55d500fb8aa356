"""A placement that hands over as often as it can: no strategy, but what hand-overs are measured with."""

from __future__ import annotations

from hetpart.partition.instance import Instance
from hetpart.partition.problem import Placement, Problem


def alternating(problem: Problem, every: int) -> Placement:
    """Tasks in topological order on one processor after the other, `every` of them each, where they can run there."""
    instance = Instance.of(problem)
    dag = instance.dag
    options = [dag.options[0][0]]
    for node, task in enumerate(instance.inner, start=1):
        wanted = problem.processors[(node - 1) // every % len(problem.processors)]
        mode = task.mode_on(wanted) or task.modes[0]
        options.append(dag.options[node][task.modes.index(mode)])
    options.append(dag.options[-1][0])
    return instance.placement("alternate", dag.serial(options, range(len(dag))), 0)
