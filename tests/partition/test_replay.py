"""Replays: the clock, contention, and what holds for any placement."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from partition_problems import problems

from hetpart.partition import STRATEGIES, Link, Mode, Placement, Problem, Task, Tensor
from hetpart.partition.replay import replay


def two(links: tuple[Link, ...]) -> tuple[Problem, Placement]:
    """in -> a (30 us on the cpu) beside b (launched in 2, 20 us on the gpu) -> out."""
    modes = {"in": Mode("cpu", 0), "a": Mode("cpu", 30), "b": Mode("gpu", 20, 2), "out": Mode("cpu", 0)}
    problem = Problem(
        ("cpu", "gpu"), "cpu", tuple(Task(name, (mode,)) for name, mode in modes.items()),
        (Tensor("x", "in", ("a", "b"), 10), Tensor("y", "a", ("out",), 10), Tensor("z", "b", ("out",), 10)), links,
    )  # fmt: skip
    return problem, STRATEGIES["ilp"](problem)


NEAR = (Link("cpu", "gpu", 0, 10.0), Link("gpu", "cpu", 4, 10.0))
FAR = (Link("cpu", "gpu", 0, 10.0), Link("gpu", "cpu", 50, 10.0))


def test_without_contention_it_is_the_schedule() -> None:
    problem, placement = two(NEAR)
    # x reaches the gpu at 1; b is launched by the cpu until 3, which then runs a until 33
    assert (replay(problem, placement), placement.makespan_us) == (33, 33)


def test_slower_transfers() -> None:
    problem, placement = two(NEAR)
    assert replay(replace(problem, links=FAR), placement) == 3 + 20 + 50 + 1


@pytest.mark.parametrize(
    ("contention", "makespan"),
    [
        ({"cpu": 1.5}, 3 + 20 + (30 - 20 / 1.5)),  # a computes beside b for 20 us, in which it does 13.3 us of its work
        ({"gpu": 1.2}, 3 + 30),  # b ends at 27, and its data are there at 32
        ({"cpu": 2.0, "gpu": 2.0}, 3 + 40 + (30 - 20)),
    ],
)
def test_contention_counts_only_while_both_compute(contention: dict[str, float], makespan: float) -> None:
    problem, placement = two(NEAR)
    assert replay(problem, placement, contention) == math.ceil(makespan - 1e-6)


def test_one_processor_has_nobody_to_contend_with() -> None:
    problem = Problem(("cpu",), "cpu", (Task("a", (Mode("cpu", 7),)), Task("b", (Mode("cpu", 5),))), (), ())
    assert replay(problem, STRATEGIES["cpu"](problem), {"cpu": 9.0}) == 12


@pytest.mark.parametrize(
    ("busy_us", "loading", "makespan"),
    [
        (30, 0.0, 30 + 5 + 7),  # z is there long before its readers' processor is free
        (30, 0.5, 30 + (5 + 5.5) + 7),  # and the first of them finds it in no cache
        (2, 0.0, 1 + 10 + 11 + 5 + 7),
        (2, 0.5, 1 + 10 + 11 + 5 + 7),  # who waits for z loses what the link takes, however it is made up
    ],
)
def test_the_first_reader_loads_what_another_processor_made(busy_us: int, loading: float, makespan: float) -> None:
    modes = {"a": Mode("cpu", busy_us), "b": Mode("gpu", 10), "c": Mode("cpu", 5), "d": Mode("cpu", 7)}
    tasks = {"in": Mode("cpu", 0)} | modes | {"out": Mode("cpu", 0)}
    problem = Problem(
        ("cpu", "gpu"), "cpu", tuple(Task(name, (mode,)) for name, mode in tasks.items()),
        (Tensor("x", "in", ("a", "b"), 10), Tensor("z", "b", ("c", "d"), 10), Tensor("y", "c", ("d",), 10)),
        (Link("cpu", "gpu", 0, 10.0), Link("gpu", "cpu", 10, 10.0, loading)),
    )  # fmt: skip
    assert replay(problem, STRATEGIES["ilp"](problem)) == math.ceil(makespan)


@given(problems(largest=20), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_loading_never_makes_it_faster(problem: Problem, loading: float) -> None:
    placement = STRATEGIES["heft"](problem)
    loaded = replace(problem, links=tuple(replace(link, loading=loading) for link in problem.links))
    assert replay(loaded, placement) >= replay(problem, placement)


@given(problems(largest=20), st.floats(1, 3), st.floats(1, 3))
@settings(max_examples=200, deadline=None)
def test_between_the_schedule_and_the_schedule_with_all_work_slowed(problem: Problem, cpu: float, other: float) -> None:
    placement = STRATEGIES["heft"](problem)
    alone = replay(problem, placement)
    assert alone <= placement.makespan_us
    together = replay(problem, placement, {"cpu": cpu, "gpu": other, "dsp": other})
    assert alone <= together <= placement.makespan_us * max(cpu, other) + 1


@given(problems(largest=20), st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_slower_links_never_make_it_faster(problem: Problem, extra: int) -> None:
    placement = STRATEGIES["heft"](problem)
    slower = replace(problem, links=tuple(replace(link, fixed_us=link.fixed_us + extra) for link in problem.links))
    assert replay(slower, placement) >= replay(problem, placement)
