"""What a placement is measured against: the strategies that need no search."""

from __future__ import annotations

from hetpart.partition import cpu, gpu, heft
from hetpart.partition.problem import Placement, Problem


def baselines(problem: Problem) -> dict[str, Placement]:
    """By strategy: ``cpu`` if the host can run everything, ``gpu`` if there is one, ``heft``."""
    found = {}
    if all(task.mode_on(problem.host) for task in problem.tasks):
        found["cpu"] = cpu.solve(problem)
    if gpu.GPU in problem.processors:
        found["gpu"] = gpu.solve(problem)
    found["heft"] = heft.solve(problem)
    return found
