"""The exact partitioner against enumeration, against one big CP-SAT model, and against the baselines."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from partition_problems import fork_joins, optimum, problems

from hetpart.partition import Link, Mode, Placement, Problem, Task, Tensor, check_placement, solve_all
from hetpart.partition.bounds import lower_bound
from hetpart.partition.budget import Budget
from hetpart.partition.cp_sat import solve_by_cp_sat
from hetpart.partition.dag import Proof
from hetpart.partition.ilp import solve
from hetpart.partition.instance import Instance
from hetpart.partition.list_schedule import best_list_schedule
from hetpart.partition.segments import split, without_implied_edges

LINKS = (Link("cpu", "gpu", 10, 1.0), Link("gpu", "cpu", 10, 1.0))


@given(problems(largest=6))
@settings(max_examples=150, deadline=None)
def test_finds_the_optimum_of_small_problems(problem: Problem) -> None:
    placement = solve(problem)
    check_placement(problem, placement)
    assert placement.status == "optimal"
    assert placement.makespan_us == optimum(problem)


@given(fork_joins())
@settings(max_examples=60, deadline=None)
def test_decomposition_equals_one_model(problem: Problem) -> None:
    placement = solve(problem)
    check_placement(problem, placement)
    dag = Instance.of(problem).dag
    whole = solve_by_cp_sat(dag, Proof(best_list_schedule(dag), 0), 10**6, 60.0, Budget(60.0))
    assert placement.makespan_us == whole.schedule.makespan == whole.lower_bound


@given(problems(largest=20))
@settings(max_examples=40, deadline=None)
def test_never_worse_than_a_baseline_and_the_bound_holds(problem: Problem) -> None:
    outcome = solve_all(problem, limit=0.3)
    for placement in (outcome.placement, *outcome.baselines.values()):
        check_placement(problem, placement)
        assert outcome.placement.makespan_us <= placement.makespan_us
        assert placement.lower_bound_us <= outcome.placement.makespan_us
    assert lower_bound(Instance.of(problem).dag) <= outcome.placement.lower_bound_us


def chain(*modes: tuple[Mode, ...]) -> Problem:
    tasks = (Task("in", (Mode("cpu", 0),)), *(Task(f"t{i}", each) for i, each in enumerate(modes)))
    tensors = tuple(Tensor(f"x{i}", a.name, (b.name,), 0) for i, (a, b) in enumerate(pairwise(tasks)))
    return Problem(("cpu", "gpu"), "cpu", tasks, tensors, LINKS)


def test_one_processor_is_preferred_where_it_is_as_good() -> None:
    problem = chain((Mode("gpu", 20), Mode("cpu", 30)), (Mode("gpu", 5), Mode("cpu", 5)))
    placement = solve(problem)
    assert {mode.processor for mode in placement.modes.values()} == {"cpu"}
    assert placement.strategy == "ilp"
    assert (placement.makespan_us, placement.gap) == (35, 0.0)


def test_no_search_still_gives_a_checked_placement_with_a_bound() -> None:
    problem = uncut(60)
    placement = solve(problem, limit=0.0)
    check_placement(problem, placement)
    assert 0 < placement.lower_bound_us <= placement.makespan_us


def test_windows_improve_what_cannot_be_cut() -> None:
    problem = uncut(60)
    assert len(split(without_implied_edges(Instance.of(problem).dag))) <= 2
    start, placement = solve(problem, limit=0.0), solve(problem, limit=3.0)
    check_placement(problem, placement)
    assert placement.makespan_us < start.makespan_us
    assert placement.lower_bound_us >= start.lower_bound_us


def uncut(count: int) -> Problem:
    """Every task reads the last two, as NASNet's cells do: no node that all paths meet."""
    times = [(40 + 37 * i % 53, 15 + 29 * i % 71) for i in range(count)]
    tasks = tuple(
        Task(f"t{i}", (Mode("cpu", cpu), Mode("gpu", gpu, 3)) if i % 7 else (Mode("cpu", cpu),))
        for i, (cpu, gpu) in enumerate(times)
    )
    tensors = tuple(
        Tensor(f"x{i}", f"t{i}", tuple(f"t{j}" for j in (i + 2, i + 3) if j < count), 7) for i in range(count - 2)
    )
    return Problem(("cpu", "gpu"), "cpu", tasks, tensors, LINKS)


def test_same_problem_same_placement() -> None:
    def run() -> Placement:
        return solve(uncut(50), limit=1.0)

    assert run() == run()


@pytest.mark.parametrize("processors", [("cpu",), ("cpu", "gpu")])
def test_one_task_and_only_ports(processors: tuple[str, ...]) -> None:
    links = LINKS if len(processors) == 2 else ()
    for task in (Task("port", (Mode("cpu", 0),)), Task("work", (Mode("cpu", 7),))):
        placement = solve(Problem(processors, "cpu", (task,), (), links))
        assert placement.makespan_us == task.modes[0].length_us
        assert placement.gap == 0.0


@pytest.mark.parametrize(("saving", "used"), [(0, {"cpu"}), (12, {"cpu", "gpu"})])
def test_two_processors_are_used_where_they_gain(saving: int, used: set[str]) -> None:
    problem = chain((Mode("cpu", 9_000),), (Mode("cpu", 1_000), Mode("gpu", 1_000 - 10 - saving)))
    placement = solve(problem)
    check_placement(problem, placement)
    assert {mode.processor for mode in placement.modes.values()} == used
    assert placement.makespan_us == placement.lower_bound_us == 10_000 - saving
    assert placement.status == "optimal"
