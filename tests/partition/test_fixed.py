"""Schedules of placements that somebody else chose."""

from __future__ import annotations

import pytest

from hetpart.errors import InternalError
from hetpart.partition import Link, Mode, Problem, Task, Tensor, check_placement
from hetpart.partition.fixed import schedule

LINKS = (Link("cpu", "gpu", 10, 1.0), Link("gpu", "cpu", 20, 1.0))
PROBLEM = Problem(
    ("cpu", "gpu"),
    "cpu",
    (Task("a", (Mode("cpu", 5), Mode("gpu", 3))), Task("b", (Mode("cpu", 7),)), Task("c", (Mode("cpu", 1),))),
    (Tensor("x", "a", ("b",), 4), Tensor("y", "b", ("c",), 4)),
    LINKS,
)


def test_the_chosen_modes_are_kept() -> None:
    placement = schedule(PROBLEM, {"a": Mode("gpu", 3)})
    assert placement.modes["a"].processor == "gpu"
    assert placement.makespan_us == 3 + 24 + 7 + 1
    check_placement(PROBLEM, placement)


def test_a_mode_that_the_task_has_not() -> None:
    placement = schedule(PROBLEM, {"a": Mode("gpu", 3), "b": Mode("gpu", 2)})
    assert placement.makespan_us == 3 + 2 + 24 + 1


def test_an_unknown_processor() -> None:
    with pytest.raises(InternalError, match="unknown processor npu"):
        schedule(PROBLEM, {"a": Mode("npu", 3)})
