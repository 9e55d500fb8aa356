"""From a `Problem` to its `Dag`, and from a schedule of the `Dag` back to a `Placement`.

Model inputs and outputs (tasks without length that are pinned to the host and stand at the rim of the graph) become
part of the source and the sink: the source is the host at time 0, the sink the host when everything has arrived. Every
other start or end of the graph is tied to source or sink by an edge without delay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hetpart.partition.dag import Dag, Delay, Option, Schedule
from hetpart.partition.problem import Mode, Place, Placement, Problem, Task, Transfer


@dataclass(frozen=True)
class Instance:
    """A problem and its `Dag`; `inner` holds the tasks behind the nodes between source and sink, in order."""

    problem: Problem
    dag: Dag
    inner: tuple[Task, ...]

    @classmethod
    def of(cls, problem: Problem) -> Instance:
        made = {tensor.producer for tensor in problem.tensors if tensor.consumers}
        read = {consumer for tensor in problem.tensors for consumer in tensor.consumers}
        node: dict[str, int] = {}
        inner: list[Task] = []
        outputs: list[str] = []
        for task in problem.tasks:
            if not _is_port(task, problem.host) or (task.name in read and task.name in made):
                inner.append(task)
                node[task.name] = len(inner)
            elif task.name in read:
                outputs.append(task.name)
            else:
                node[task.name] = 0
        sink = len(inner) + 1
        node.update((name, sink) for name in outputs)
        places = {place: i for i, place in enumerate(problem.places)}
        host = problem.processors.index(problem.host)
        port = (Option(host, 0, ()),)
        options = [port, *(tuple(_option(mode, places, host) for mode in task.modes) for task in inner), port]
        return cls(problem, Dag(len(problem.processors), tuple(options), _edges(problem, node, sink)), tuple(inner))

    def preferring(self, processors: Iterable[str]) -> Dag:
        """The `Dag` with one option left: on the first of `processors` that has one, in private memory first."""
        order = list(processors)
        ranked = sorted(enumerate(self.problem.places), key=lambda each: (order.index(each[1][0]), not each[1][1]))
        return self.dag.preferring([place for place, _ in ranked])

    def placement(self, strategy: str, schedule: Schedule, lower_bound_us: int) -> Placement:
        """`schedule`, a schedule of `dag`, in the problem's own terms."""
        problem = self.problem
        at = {task.name: node for node, task in enumerate(self.inner, start=1)}
        modes: dict[str, Mode] = {}
        starts: dict[str, int] = {}
        for task in problem.tasks:
            if (node := at.get(task.name)) is None:
                modes[task.name], starts[task.name] = task.modes[0], 0  # outputs: when everything has arrived, below
            else:
                modes[task.name] = task.modes[self.dag.options[node].index(schedule.options[node])]
                starts[task.name] = schedule.starts[node]
        transfers: dict[Transfer, None] = {}
        for tensor in problem.tensors:
            source = modes[tensor.producer]
            finish = starts[tensor.producer] + source.length_us
            for consumer in tensor.consumers:
                reader = modes[consumer]
                target = reader.processor
                arrival = finish + problem.transfer_us(source.place, reader.place, tensor.size_bytes)
                if consumer not in at:
                    starts[consumer] = max(starts[consumer], arrival)
                if target != source.processor:
                    transfers[Transfer(tensor.name, source.processor, target, finish, arrival)] = None
        makespan = schedule.makespan
        return Placement(
            strategy=strategy,
            modes=modes,
            start_us=starts,
            makespan_us=makespan,
            lower_bound_us=lower_bound_us,
            status="optimal" if lower_bound_us == makespan else "feasible",
            transfers=tuple(sorted(transfers, key=lambda transfer: transfer.start_us)),
        )

    def schedule(self, placement: Placement) -> Schedule:
        """The inverse of `placement`."""
        options = [self.dag.options[0][0]]
        starts = [0]
        for node, task in enumerate(self.inner, start=1):
            options.append(self.dag.options[node][task.modes.index(placement.modes[task.name])])
            starts.append(placement.start_us[task.name])
        return Schedule((*options, self.dag.options[-1][0]), (*starts, placement.makespan_us))


def _is_port(task: Task, host: str) -> bool:
    return task.modes == (Mode(host, 0),)


def _option(mode: Mode, places: dict[Place, int], host: int) -> Option:
    uses = ((places[mode.processor, False], mode.length_us), (host, mode.launch_us))
    return Option(places[mode.place], mode.length_us, tuple(use for use in uses if use[1]))


def _edges(problem: Problem, node: dict[str, int], sink: int) -> tuple[tuple[int, int, Delay], ...]:
    """One edge per pair of nodes, with the longest delay of the tensors between them."""
    delays: dict[tuple[int, int], Delay] = {}
    for tensor in problem.tensors:
        delay = tuple(
            tuple(problem.transfer_us(p, q, tensor.size_bytes) for q in problem.places) for p in problem.places
        )
        for consumer in tensor.consumers:
            pair = node[tensor.producer], node[consumer]
            delays[pair] = _longer(delays[pair], delay) if pair in delays else delay
    none: Delay = ((0,) * len(problem.places),) * len(problem.places)
    has_successor = {u for u, _ in delays}
    has_predecessor = {v for _, v in delays}
    for v in range(1, sink):
        if v not in has_predecessor:
            delays[0, v] = none
        if v not in has_successor:
            delays[v, sink] = none
    if not delays:
        delays[0, sink] = none
    return tuple((u, v, delay) for (u, v), delay in sorted(delays.items()))


def _longer(a: Delay, b: Delay) -> Delay:
    return tuple(tuple(map(max, row, other)) for row, other in zip(a, b, strict=True))
