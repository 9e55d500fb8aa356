"""What it costs that an operator leaves an accelerator: hand-overs, and the time that the accelerator then waits.

The rule: take the placement that most runtimes make, every unit on the first accelerator that runs it, else on the
host. A fallback is a connected group of units on the host there. Schedule that placement, and schedule it again with
the group on the accelerator, in shared memory, for just as long as it takes on the host. The work being the same,
whatever differs between the two schedules is the price of leaving: that is what a `Fallback` says. A group at the rim
of a model may cost nothing, since the model's inputs and outputs are on the host anyway.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hetpart.compiler import Assessment
from hetpart.formulate import formulate
from hetpart.partition import Mode, Placement, Problem
from hetpart.partition.fixed import schedule
from hetpart.targets.schema import Target


@dataclass(frozen=True)
class Fallback:
    """The price of one group of units that leave an accelerator; all times are predicted, in microseconds.

    Attributes:
        units: their names, in topological order.
        accelerator: which they leave.
        work_us: time of the group on the host. It is no part of the price.
        transfers: hand-overs between processors that it causes; negative if it saves some.
        transfer_bytes, transfer_us: bytes and time of these.
        idle_us: by how much longer the accelerator stands idle: `work_us` and `added_us`.
        added_us: by how much longer the whole run takes.
    """

    units: tuple[str, ...]
    accelerator: str
    work_us: int
    transfers: int
    transfer_bytes: int
    transfer_us: int
    idle_us: int
    added_us: int


@dataclass(frozen=True)
class Fallbacks:
    """All fallbacks of a model, each compared alone, and what the run takes with all of them and with none."""

    each: tuple[Fallback, ...] = ()
    greedy_us: int = 0
    without_us: int = 0


NONE = Fallbacks()


def price_fallbacks(found: Assessment, target: Target) -> Fallbacks:
    """The fallbacks of a model on `target`; none if no accelerator with a cost table runs any of it.

    Nor are there any prices where a unit runs on no processor, or the host has no cost table.
    """
    host = target.host.name
    if not found.costs or any(not costs for costs in found.costs.values()):
        return NONE
    order = [p.name for p in target.processors if p.name != host] + [host]
    problem = formulate(found.assignment, target, found.costs, found.shared)
    modes = {
        task.name: min(task.modes, key=lambda mode: (order.index(mode.processor), not mode.private))
        for task in problem.tasks
    }
    used = {mode.processor for mode in modes.values()} - {host}
    leaving = [name for name in found.costs if modes[name].processor == host]
    if not used:
        return NONE
    greedy = schedule(problem, modes)
    if not leaving:
        return Fallbacks((), greedy.makespan_us, greedy.makespan_us)
    each = []
    staying: dict[str, Mode] = {}
    for group in _groups(leaving, problem):
        accelerator = _left(group, problem, modes, [name for name in order if name in used])
        stays = {unit: Mode(accelerator, modes[unit].length_us) for unit in group}
        each.append(_price(group, accelerator, problem, greedy, schedule(problem, modes | stays)))
        staying |= stays
    return Fallbacks(tuple(each), greedy.makespan_us, schedule(problem, modes | staying).makespan_us)


def _groups(leaving: list[str], problem: Problem) -> list[tuple[str, ...]]:
    """The connected components of the graph of `leaving`, in topological order."""
    of = {name: {name} for name in leaving}
    for tensor in problem.tensors:
        for consumer in tensor.consumers:
            if tensor.producer in of and consumer in of and of[consumer] is not of[tensor.producer]:
                joined = of[tensor.producer] | of[consumer]
                of.update(dict.fromkeys(joined, joined))
    position = {name: index for index, name in enumerate(leaving)}
    return list(dict.fromkeys(tuple(sorted(of[name], key=position.__getitem__)) for name in leaving))


def _left(group: tuple[str, ...], problem: Problem, modes: dict[str, Mode], accelerators: list[str]) -> str:
    """The accelerator with which the group exchanges most, the first if there are several."""
    exchanged = dict.fromkeys(accelerators, 0)
    for tensor in problem.tensors:
        ends = (tensor.producer, *tensor.consumers)
        if any(end in group for end in ends):
            for place in {modes[end].processor for end in ends if end not in group} & exchanged.keys():
                exchanged[place] += tensor.size_bytes
    return max(accelerators, key=lambda name: exchanged[name])


def _price(
    group: tuple[str, ...], accelerator: str, problem: Problem, greedy: Placement, staying: Placement
) -> Fallback:
    sizes = {tensor.name: tensor.size_bytes for tensor in problem.tensors}
    leaves, stays = (_crossings(placement, sizes) for placement in (greedy, staying))
    return Fallback(
        units=group,
        accelerator=accelerator,
        work_us=sum(greedy.modes[unit].length_us for unit in group),
        transfers=leaves[0] - stays[0],
        transfer_bytes=leaves[1] - stays[1],
        transfer_us=leaves[2] - stays[2],
        idle_us=_idle_us(greedy, accelerator) - _idle_us(staying, accelerator),
        added_us=greedy.makespan_us - staying.makespan_us,
    )


def _crossings(placement: Placement, sizes: dict[str, int]) -> tuple[int, int, int]:
    """How many tensors cross, their bytes, and the time that takes."""
    longest = {(t.tensor, t.target): t.finish_us - t.start_us for t in placement.transfers}
    return len(longest), sum(sizes[tensor] for tensor, _ in longest), sum(longest.values())


def _idle_us(placement: Placement, processor: str) -> int:
    return placement.makespan_us - sum(_busy(placement.modes.values(), processor))


def _busy(modes: Iterable[Mode], processor: str) -> list[int]:
    return [mode.length_us for mode in modes if mode.processor == processor]
