"""Which processor runs which task, and when: `solve_all` turns a `Problem` into a `Placement`."""

from hetpart.partition.budget import DEFAULT_LIMIT
from hetpart.partition.check import check_placement
from hetpart.partition.explain import explain
from hetpart.partition.outcome import STRATEGIES, Outcome, require_strategy, solve_all
from hetpart.partition.problem import Link, Mode, Placement, Problem, Task, Tensor, Transfer

__all__ = [
    "DEFAULT_LIMIT",
    "STRATEGIES",
    "Link",
    "Mode",
    "Outcome",
    "Placement",
    "Problem",
    "Task",
    "Tensor",
    "Transfer",
    "check_placement",
    "explain",
    "require_strategy",
    "solve_all",
]
