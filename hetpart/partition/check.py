"""Independent check of a `Placement`: it knows the problem's definition and shares no code with the strategies."""

from __future__ import annotations

from itertools import pairwise

from hetpart.errors import InternalError
from hetpart.partition.problem import Placement, Problem, Transfer


def check_placement(problem: Problem, placement: Placement) -> None:
    """Raises InternalError ``bad-placement``, naming what is violated, unless `placement` solves `problem`."""
    _check_modes(problem, placement)
    _check_exclusive(problem, placement)
    _check_tensors(problem, placement)
    _check_figures(problem, placement)


def _check_modes(problem: Problem, placement: Placement) -> None:
    names = [task.name for task in problem.tasks]
    if list(placement.modes) != names or list(placement.start_us) != names:
        _fail("it does not list exactly the problem's tasks in their order")
    for task in problem.tasks:
        if placement.modes[task.name] not in task.modes:
            _fail(f"{placement.modes[task.name]} is not one of the task's modes", task.name)
        if placement.start_us[task.name] < 0:
            _fail("it starts before time 0", task.name)


def _check_exclusive(problem: Problem, placement: Placement) -> None:
    """A processor does one thing at a time, launching for others included."""
    busy: dict[str, list[tuple[int, int, str]]] = {processor: [] for processor in problem.processors}
    for name, mode in placement.modes.items():
        start = placement.start_us[name]
        if mode.launch_us + mode.duration_us:
            busy[mode.processor].append((start, start + mode.launch_us + mode.duration_us, name))
        if mode.launch_us:
            busy[problem.host].append((start, start + mode.launch_us, name))
    for processor, intervals in busy.items():
        for (_, end, first), (start, _, second) in pairwise(sorted(intervals)):
            if start < end:
                _fail(f"{processor} is still busy with {first}, until {end} us, when it starts at {start} us", second)


def _check_tensors(problem: Problem, placement: Placement) -> None:
    """Every consumer waits for the producer and the transfer; the transfers are listed once each, and no others."""
    links = {(link.source, link.target): link for link in problem.links}
    converters = {converter.processor: converter for converter in problem.converters}
    needed = set()
    for tensor in problem.tensors:
        made = placement.modes[tensor.producer]
        finish = placement.start_us[tensor.producer] + made.launch_us + made.duration_us
        for consumer in tensor.consumers:
            reader = placement.modes[consumer]
            target = reader.processor
            arrival = finish
            if (target, reader.private) != (made.processor, made.private):
                ends = [mode for mode in (made, reader) if mode.private]
                arrival += sum(converters[mode.processor].convert_us(tensor.size_bytes) for mode in ends)
            if target != made.processor:
                arrival += links[made.processor, target].transfer_us(tensor.size_bytes)
                needed.add(Transfer(tensor.name, made.processor, target, finish, arrival))
            if placement.start_us[consumer] < arrival:
                start = placement.start_us[consumer]
                _fail(f"it starts at {start} us, but {tensor.name} is on {target} only at {arrival} us", consumer)
    listed = placement.transfers
    if len(listed) != len(set(listed)) or set(listed) != needed:
        odd = min(set(listed) ^ needed, default=listed[0], key=lambda transfer: (transfer.start_us, transfer.tensor))
        _fail(f"{odd} is missing, not needed or listed twice")
    if list(listed) != sorted(listed, key=lambda transfer: transfer.start_us):
        _fail("the transfers are not in the order of their starts")


def _check_figures(problem: Problem, placement: Placement) -> None:
    last = max(placement.start_us[name] + mode.launch_us + mode.duration_us for name, mode in placement.modes.items())
    if placement.makespan_us != last:
        _fail(f"the last task finishes at {last} us, not at {placement.makespan_us} us")
    if not 0 <= placement.lower_bound_us <= last:
        _fail(f"a lower bound of {placement.lower_bound_us} us contradicts a makespan of {last} us")
    if placement.status != ("optimal" if placement.lower_bound_us == last else "feasible"):
        _fail(f"status {placement.status} with bound {placement.lower_bound_us} us and makespan {last} us")


def _fail(message: str, task: str | None = None) -> None:
    raise InternalError("bad-placement", f"the placement is wrong: {message}", node=task)
