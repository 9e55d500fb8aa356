"""The strategies that need no search, and the registry."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from partition_problems import problems

from hetpart.errors import HetpartError
from hetpart.partition import STRATEGIES, Link, Mode, Problem, Task, Tensor, check_placement, solve_all

LINKS = (Link("cpu", "gpu", 5, 1.0), Link("gpu", "cpu", 5, 1.0))
PROBLEM = Problem(
    ("cpu", "gpu"),
    "cpu",
    (
        Task("in", (Mode("cpu", 0),)),
        Task("conv", (Mode("cpu", 60), Mode("gpu", 10, 1))),
        Task("softmax", (Mode("cpu", 3),)),
        Task("dense", (Mode("cpu", 8), Mode("gpu", 6, 1))),
    ),
    (
        Tensor("x", "in", ("conv",), 10),
        Tensor("y", "conv", ("softmax",), 10),
        Tensor("z", "softmax", ("dense",), 10),
    ),
    LINKS,
)


def where(strategy: str) -> list[str]:
    placement = STRATEGIES[strategy](PROBLEM)
    check_placement(PROBLEM, placement)
    return [mode.processor for mode in placement.modes.values()]


def test_cpu_and_gpu() -> None:
    assert where("cpu") == ["cpu"] * 4
    assert STRATEGIES["cpu"](PROBLEM).makespan_us == 71
    assert where("gpu") == ["cpu", "gpu", "cpu", "gpu"]
    assert where("ilp") == ["cpu", "gpu", "cpu", "cpu"]


def test_outcome_lists_the_baselines_that_apply() -> None:
    outcome = solve_all(PROBLEM)
    assert list(outcome.baselines) == ["cpu", "gpu", "heft"]
    gpu_only = Problem(("cpu", "dsp"), "cpu", (Task("a", (Mode("dsp", 3),)),), (), (
        Link("cpu", "dsp", 5, 1.0), Link("dsp", "cpu", 5, 1.0)
    ))  # fmt: skip
    assert list(solve_all(gpu_only, "heft").baselines) == ["heft"]


def test_errors_name_the_way_out() -> None:
    with pytest.raises(HetpartError) as caught:
        solve_all(PROBLEM, "magic")
    assert (caught.value.code, caught.value.hint) == ("unknown-strategy", "choose from cpu, gpu, heft, ilp")
    one = Problem(("cpu",), "cpu", (Task("a", (Mode("cpu", 3),)),), (), ())
    with pytest.raises(HetpartError) as caught:
        solve_all(one, "gpu")
    assert caught.value.code == "no-gpu"
    stuck = Problem(("cpu", "gpu"), "cpu", (Task("a", (Mode("gpu", 3),)),), (), LINKS)
    with pytest.raises(HetpartError) as caught:
        solve_all(stuck, "cpu")
    assert (caught.value.code, caught.value.node) == ("cpu-cannot-run", "a")


@given(problems(largest=25))
@settings(max_examples=60, deadline=None)
def test_every_baseline_is_a_correct_placement(problem: Problem) -> None:
    for placement in solve_all(problem, "heft").baselines.values():
        check_placement(problem, placement)
