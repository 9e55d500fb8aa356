"""Units, verdicts and costs -> the partitioner's Problem.

Only units that move data become tasks; a reader of a view or of a concat in place depends on whoever wrote the bytes.
Model inputs and outputs are tasks of no duration on the host.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from hetpart.cost.estimate import Cost
from hetpart.graph.assign import Assignment
from hetpart.partition.problem import Converter, Link, Mode, Problem, Task, Tensor
from hetpart.targets.schema import Processor, Target

INPUTS = "(inputs)"
OUTPUTS = "(outputs)"


def formulate(
    assignment: Assignment,
    target: Target,
    costs: Mapping[str, Mapping[str, Cost]],
    shared: Mapping[str, Mapping[str, str]],
) -> Problem:
    """The placement problem.

    Args:
        assignment: units with layouts.
        target: processors and links.
        costs: per unit, per processor that supports it; a processor without an entry gets no mode.
        shared: per unit and processor, why it works on shared buffers; empty where it works in private memory.
    """
    host = target.host.name
    usable = [p for p in target.processors if p.name == host or any(p.name in c for c in costs.values())]
    names = tuple(p.name for p in usable)

    def private(unit: str, processor: str) -> bool:
        return not shared[unit][processor]

    tasks = [Task(INPUTS, (Mode(host, 0),))]
    for unit in assignment.graph:
        if unit.name not in assignment.free:
            tasks.append(
                Task(
                    unit.name,
                    tuple(
                        _mode(target.processor(p), c, host, private(unit.name, p)) for p, c in costs[unit.name].items()
                    ),
                )
            )
    tasks.append(Task(OUTPUTS, (Mode(host, 0),)))
    links = tuple(
        Link(k.source, k.target, math.ceil(k.fixed_us), k.gb_per_s * 1e3)
        for k in target.links
        if k.source in names and k.target in names
    )
    converters = tuple(
        Converter(p.name, math.ceil(p.cost.launch_us), p.cost.convert_gb_per_s * 1e3)
        for p in usable
        if p.cost is not None and p.cost.convert_gb_per_s
    )
    return Problem(names, host, tuple(tasks), _tensors(assignment), links, converters)


def _mode(processor: Processor, cost: Cost, host: str, private: bool) -> Mode:
    """A launch keeps the host busy, unless a core of the processor's own runs its driver."""
    launch_us = 0 if processor.name == host or processor.core is not None else math.ceil(cost.launch_us)
    return Mode(processor.name, max(0, math.ceil(cost.latency_us) - launch_us), launch_us, private)


def _tensors(assignment: Assignment) -> tuple[Tensor, ...]:
    readers: dict[tuple[str, str], list[str]] = {}

    def read(task: str, value: str) -> None:
        for maker, part in assignment.written_parts(value):
            consumers = readers.setdefault((maker or INPUTS, part), [])
            if task not in consumers:
                consumers.append(task)

    for unit in assignment.graph:
        for value in assignment.kernel_reads(unit):
            read(unit.name, value)
    for value in assignment.ports.values():
        read(OUTPUTS, value)
    return tuple(
        Tensor(part, maker, tuple(consumers), assignment.layouts[part].size_bytes)
        for (maker, part), consumers in readers.items()
    )
