"""The checker accepts what every strategy makes (see the other tests) and refuses every kind of damage."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hetpart.errors import InternalError
from hetpart.partition import Link, Mode, Placement, Problem, Task, Tensor, Transfer, check_placement

PROBLEM = Problem(
    ("cpu", "gpu"),
    "cpu",
    (
        Task("in", (Mode("cpu", 0),)),
        Task("a", (Mode("cpu", 10), Mode("gpu", 4, 2))),
        Task("b", (Mode("cpu", 10), Mode("gpu", 4, 2))),
        Task("out", (Mode("cpu", 0),)),
    ),
    (
        Tensor("x", "in", ("a", "b"), 10),
        Tensor("ya", "a", ("out",), 10),
        Tensor("yb", "b", ("out",), 10),
    ),
    (Link("cpu", "gpu", 1, 10.0), Link("gpu", "cpu", 1, 10.0)),
)

GOOD = Placement(
    strategy="ilp",
    modes={"in": Mode("cpu", 0), "a": Mode("gpu", 4, 2), "b": Mode("cpu", 10), "out": Mode("cpu", 0)},
    start_us={"in": 0, "a": 2, "b": 4, "out": 14},
    makespan_us=14,
    lower_bound_us=14,
    status="optimal",
    transfers=(Transfer("x", "cpu", "gpu", 0, 2), Transfer("ya", "gpu", "cpu", 8, 10)),
)


def test_accepts_a_correct_placement() -> None:
    check_placement(PROBLEM, GOOD)


def damaged(**changes: object) -> Placement:
    return replace(GOOD, **changes)  # type: ignore[arg-type]  # a test names the fields it changes


BROKEN = {
    "exactly the problem's tasks": damaged(modes={k: v for k, v in GOOD.modes.items() if k != "b"}),
    "not one of the task's modes": damaged(modes={**GOOD.modes, "b": Mode("cpu", 9)}),
    "before time 0": damaged(start_us={**GOOD.start_us, "in": -1}),
    "cpu is still busy with a, until 4 us": damaged(start_us={**GOOD.start_us, "b": 3}),
    "x is on gpu only at 2 us": damaged(start_us={**GOOD.start_us, "a": 0}),
    "yb is on cpu only at 14 us": damaged(start_us={**GOOD.start_us, "out": 13}),
    "missing, not needed or listed twice": damaged(transfers=GOOD.transfers[:1]),
    "listed twice": damaged(transfers=GOOD.transfers * 2),
    "order of their starts": damaged(transfers=GOOD.transfers[::-1]),
    "finishes at 14 us, not at 13 us": damaged(makespan_us=13, lower_bound_us=13),
    "contradicts": damaged(lower_bound_us=15),
    "status optimal": damaged(lower_bound_us=12),
}


@pytest.mark.parametrize("message", BROKEN)
def test_refuses(message: str) -> None:
    with pytest.raises(InternalError) as caught:
        check_placement(PROBLEM, BROKEN[message])
    assert message in caught.value.message
    assert caught.value.code == "bad-placement"
