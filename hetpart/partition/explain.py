"""Why every task is where it is: one short phrase each, found by looking at the finished placement."""

from __future__ import annotations

from collections.abc import Iterator

from hetpart.partition.instance import Instance
from hetpart.partition.problem import Mode, Placement, Problem, Task, Tensor


def explain(problem: Problem, placement: Placement) -> dict[str, str]:
    """Task -> the first of these that is true.

    1. ``only mode``: no other processor can run it.
    2. ``fastest here``: no other processor is faster.
    3. ``saves a transfer (...)``: on its fastest processor it would lose more to transfers than it gains.
    4. ``parallel to X``: meanwhile its fastest processor runs X.
    5. What moving it to its fastest processor would do to the makespan, all else in the same order.
    """
    reasons = {}
    for task in problem.tasks:
        here = placement.modes[task.name]
        fastest = min(task.modes, key=lambda mode: mode.length_us)
        if len(task.modes) == 1:
            reasons[task.name] = "only mode"
        elif here.length_us == fastest.length_us:
            reasons[task.name] = "fastest here"
        else:
            reasons[task.name] = (
                _saves_transfer(problem, placement, task, fastest)
                or _parallel(placement, task, fastest)
                or _consequence(problem, placement, task, fastest)
            )
    return reasons


def _saves_transfer(problem: Problem, placement: Placement, task: Task, fastest: Mode) -> str:
    here = placement.modes[task.name]
    gain = here.length_us - fastest.length_us
    loss = _transfers_us(problem, placement, task, fastest) - _transfers_us(problem, placement, task, here)
    if loss < gain:
        return ""
    return f"saves a transfer ({fastest.processor} is {gain} us faster, but needs {loss} us more for transfers)"


def _transfers_us(problem: Problem, placement: Placement, task: Task, mode: Mode) -> int:
    """Time of the transfers to and from `task` if it ran in `mode`, one per tensor and destination."""
    total = 0
    for tensor in _tensors_of(problem, task):
        if tensor.producer == task.name:
            targets = {placement.modes[consumer].place for consumer in tensor.consumers}
            total += sum(problem.transfer_us(mode.place, target, tensor.size_bytes) for target in targets)
        else:
            source = placement.modes[tensor.producer].place
            total += problem.transfer_us(source, mode.place, tensor.size_bytes)
    return total


def _tensors_of(problem: Problem, task: Task) -> Iterator[Tensor]:
    return (t for t in problem.tensors if task.name == t.producer or task.name in t.consumers)


def _parallel(placement: Placement, task: Task, fastest: Mode) -> str:
    """The task that shares the most time with `task`, on the processor where that would be fastest."""
    start, finish = placement.start_us[task.name], placement.finish_us(task.name)
    shared = {
        other: min(finish, placement.finish_us(other)) - max(start, placement.start_us[other])
        for other, mode in placement.modes.items()
        if mode.processor == fastest.processor
    }
    other = max(shared, key=lambda name: shared[name], default="")
    return f"parallel to {other}" if other and shared[other] > 0 else ""


def _consequence(problem: Problem, placement: Placement, task: Task, fastest: Mode) -> str:
    instance = Instance.of(problem)
    schedule = instance.schedule(placement)
    node = 1 + instance.inner.index(task)
    options = list(schedule.options)
    options[node] = instance.dag.options[node][task.modes.index(fastest)]
    change = instance.dag.serial(options, schedule.order()).makespan - placement.makespan_us
    if change > 0:
        return f"on {fastest.processor} the run would take {change} us longer"
    if change == 0:
        return f"not critical: {fastest.processor} is faster, but the run would not be shorter"
    return f"not the best: on {fastest.processor} the run would be {-change} us shorter"
