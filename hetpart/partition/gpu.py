"""Strategy ``gpu``: everything the GPU can run on the GPU, the rest on the host; what today's delegates do."""

from __future__ import annotations

from hetpart.errors import HetpartError
from hetpart.partition.bounds import lower_bound
from hetpart.partition.budget import DEFAULT_LIMIT
from hetpart.partition.instance import Instance
from hetpart.partition.list_schedule import best_list_schedule
from hetpart.partition.problem import Placement, Problem

GPU = "gpu"
"""The processor's name."""


def solve(problem: Problem, *, limit: float = DEFAULT_LIMIT) -> Placement:
    """Modes by preference GPU, host, any other; the order is the best list schedule's. Needs no `limit`.

    Raises:
        HetpartError: ``no-gpu`` if there is no processor of that name, or none of the tasks can run on it.
    """
    del limit
    if GPU not in problem.processors:
        raise HetpartError(
            "no-gpu", f"nothing of this model runs on a processor named {GPU}, if the target has one",
            hint=f"hetpart check says why; what runs it: {', '.join(problem.processors)}",
        )  # fmt: skip
    instance = Instance.of(problem)
    preferred = dict.fromkeys((GPU, problem.host, *problem.processors))
    dag = instance.preferring(preferred)
    return instance.placement("gpu", best_list_schedule(dag), lower_bound(instance.dag))
