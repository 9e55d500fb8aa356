"""A problem that makes no sense is refused when it is made; links and modes do their sums."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hetpart.errors import InternalError
from hetpart.partition import Link, Mode, Placement, Problem, Task, Tensor

GOOD = Problem(
    ("cpu", "gpu"),
    "cpu",
    (Task("a", (Mode("cpu", 3),)), Task("b", (Mode("cpu", 3), Mode("gpu", 2, 1)))),
    (Tensor("x", "a", ("b",), 100),),
    (Link("cpu", "gpu", 20, 30.0), Link("gpu", "cpu", 25, 30.0)),
)
B = GOOD.tasks[1]

BROKEN: dict[str, dict[str, object]] = {
    "processor cpu is given twice": {"processors": ("cpu", "cpu")},
    "host dsp is not among": {"host": "dsp"},
    "task a is given twice": {"tasks": (GOOD.tasks[0],) * 2},
    "there are no tasks": {"tasks": (), "tensors": ()},
    "it has no mode": {"tasks": (GOOD.tasks[0], Task("b", ()))},
    "mode of b cpu is given twice": {"tasks": (GOOD.tasks[0], Task("b", (Mode("cpu", 3), Mode("cpu", 4))))},
    "unknown processor dsp": {"tasks": (GOOD.tasks[0], Task("b", (Mode("dsp", 3),)))},
    "whole microseconds": {"tasks": (GOOD.tasks[0], Task("b", (Mode("cpu", 2.5),)))},  # type: ignore[arg-type]  # on purpose
    "negative time": {"tasks": (GOOD.tasks[0], Task("b", (Mode("cpu", -1),)))},
    "the host launches itself": {"tasks": (GOOD.tasks[0], Task("b", (Mode("cpu", 3, 1),)))},
    "tensor x is given twice": {"tensors": GOOD.tensors * 2},
    "negative size": {"tensors": (Tensor("x", "a", ("b",), -1),)},
    "unknown task c": {"tensors": (Tensor("x", "a", ("c",), 1),)},
    "consumer of x b is given twice": {"tensors": (Tensor("x", "a", ("b", "b"), 1),)},
    "a stands before its producer": {"tensors": (Tensor("x", "b", ("a",), 1),)},
    "both ways": {"links": GOOD.links[:1]},
    "link cpu->gpu is given twice": {"links": (*GOOD.links, GOOD.links[0])},
    "impossible Link": {"links": (Link("cpu", "gpu", 1, 0.0), GOOD.links[1])},
}


@pytest.mark.parametrize("message", BROKEN)
def test_refuses(message: str) -> None:
    with pytest.raises(InternalError) as caught:
        replace(GOOD, **BROKEN[message])  # type: ignore[arg-type]  # a test names the fields it changes
    assert message in caught.value.message
    assert caught.value.code == "bad-problem"


def test_times() -> None:
    assert B.modes[1].length_us == 3
    assert B.mode_on("gpu") == Mode("gpu", 2, 1)
    assert B.mode_on("dsp") is None
    assert GOOD.transfer_us(("cpu", False), ("gpu", False), 100) == 20 + 4
    assert GOOD.transfer_us(("gpu", False), ("cpu", False), 0) == 25
    assert GOOD.transfer_us(("gpu", False), ("gpu", False), 100) == 0


def test_gap() -> None:
    placement = Placement("ilp", {"a": Mode("cpu", 3)}, {"a": 1}, 4, 3, "feasible", ())
    assert placement.gap == 0.25
    assert placement.finish_us("a") == 4
    assert replace(placement, makespan_us=0, lower_bound_us=0).gap == 0
