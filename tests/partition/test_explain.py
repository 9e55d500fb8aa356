"""Every reason is found where it is the true one."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from partition_problems import problems

from hetpart.partition import Link, Mode, Placement, Problem, Task, Tensor, explain, solve_all
from hetpart.partition.bounds import lower_bound
from hetpart.partition.instance import Instance

LINKS = (Link("cpu", "gpu", 10, 1.0), Link("gpu", "cpu", 10, 1.0))


def chain(*tasks: Task) -> Problem:
    tensors = tuple(Tensor(f"{a.name}:0", a.name, (b.name,), 0) for a, b in pairwise(tasks))
    return Problem(("cpu", "gpu"), "cpu", tasks, tensors, LINKS)


def placed(problem: Problem, *processors: str) -> Placement:
    """The tasks on these processors, in their order."""
    instance = Instance.of(problem)
    chosen = dict(zip((task.name for task in problem.tasks), processors, strict=True))
    options = [instance.dag.options[0][0]]
    for node, task in enumerate(instance.inner, start=1):
        modes = [mode.processor for mode in task.modes]
        options.append(instance.dag.options[node][modes.index(chosen[task.name])])
    options.append(instance.dag.options[-1][0])
    schedule = instance.dag.serial(options, range(len(options)))
    return instance.placement("test", schedule, min(schedule.makespan, lower_bound(instance.dag)))


def test_only_mode_fastest_and_saved_transfer() -> None:
    problem = chain(
        Task("in", (Mode("cpu", 0),)),
        Task("a", (Mode("cpu", 8), Mode("gpu", 5))),
        Task("b", (Mode("cpu", 2), Mode("gpu", 9))),
    )
    assert explain(problem, placed(problem, "cpu", "cpu", "cpu")) == {
        "in": "only mode",
        "a": "saves a transfer (gpu is 3 us faster, but needs 20 us more for transfers)",
        "b": "fastest here",
    }


def test_parallel() -> None:
    both = (Mode("cpu", 30), Mode("gpu", 20))
    problem = Problem(("cpu", "gpu"), "cpu", (Task("a", both), Task("b", both)), (), LINKS)
    assert explain(problem, placed(problem, "gpu", "cpu")) == {"a": "fastest here", "b": "parallel to a"}


def test_consequences() -> None:
    alone = chain(Task("a", (Mode("cpu", 30), Mode("gpu", 20))))
    assert explain(alone, placed(alone, "cpu"))["a"] == "not the best: on gpu the run would be 10 us shorter"

    def beside_long(launch_us: int) -> str:
        """Why `a` is on the GPU, with the CPU busy for 90 us and the DSP idle."""
        names = ("cpu", "gpu", "dsp")
        links = tuple(Link(p, q, 10, 1.0) for p in names for q in names if p != q)
        fast = Mode("dsp", 20 - launch_us, launch_us)
        tasks = (Task("long", (Mode("cpu", 90),)), Task("a", (Mode("gpu", 30), fast)))
        problem = Problem(names, "cpu", tasks, (), links)
        return explain(problem, placed(problem, "cpu", "gpu"))["a"]

    assert beside_long(launch_us=0) == "not critical: dsp is faster, but the run would not be shorter"
    assert beside_long(launch_us=5) == "on dsp the run would take 20 us longer"  # launched when the CPU is free


@given(problems(largest=8))
@settings(max_examples=60, deadline=None)
def test_every_task_has_a_reason_and_an_optimum_is_never_called_worse(problem: Problem) -> None:
    placement = solve_all(problem).placement
    reasons = explain(problem, placement)
    assert list(reasons) == [task.name for task in problem.tasks]
    if placement.status == "optimal":
        assert not any(reason.startswith("not the best") for reason in reasons.values())
