"""Transfers that gain nothing go away; schedules stay correct and no longer."""

from __future__ import annotations

from hypothesis import given, settings
from partition_problems import problems

from hetpart.partition import Link, Mode, Problem, Task, Tensor, check_placement
from hetpart.partition.instance import Instance
from hetpart.partition.list_schedule import heft
from hetpart.partition.tidy import tidy, transfers


@given(problems(largest=15))
@settings(max_examples=100, deadline=None)
def test_never_longer_and_never_more_transfers(problem: Problem) -> None:
    instance = Instance.of(problem)
    before = heft(instance.dag)
    after = tidy(instance.dag, before)
    check_placement(problem, instance.placement("test", after, 0))
    assert after.makespan <= before.makespan
    assert transfers(instance.dag, after.options) <= transfers(instance.dag, before.options)


def test_a_side_branch_with_slack_goes_back_as_a_whole() -> None:
    """in -> a -> b -> out takes 100; meanwhile x -> y on the GPU makes two transfers that nobody needs."""
    tasks = (
        Task("in", (Mode("cpu", 1),)),
        Task("a", (Mode("gpu", 100),)),
        Task("x", (Mode("cpu", 10), Mode("gpu", 10))),
        Task("y", (Mode("cpu", 10), Mode("gpu", 10))),
        Task("out", (Mode("cpu", 1),)),
    )
    pairs = (("in", "a"), ("in", "x"), ("x", "y"), ("y", "out"), ("a", "out"))
    problem = Problem(
        ("cpu", "gpu"),
        "cpu",
        tasks,
        tuple(Tensor(f"{u}->{w}", u, (w,), 0) for u, w in pairs),
        (Link("cpu", "gpu", 5, 1.0), Link("gpu", "cpu", 5, 1.0)),
    )
    instance = Instance.of(problem)
    on_gpu = [options[-1] for options in instance.dag.options]
    before = instance.dag.serial(on_gpu, range(len(instance.dag)))
    assert (before.makespan, transfers(instance.dag, before.options)) == (132, 3)
    after = tidy(instance.dag, before)
    assert {instance.inner[v - 1].name for v in range(1, len(on_gpu) - 1) if after.options[v].processor} == {"a"}
    assert (after.makespan, transfers(instance.dag, after.options)) == (112, 2)
