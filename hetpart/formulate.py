"""Units, verdicts and costs -> the partitioner's Problem.

Only units that move data become tasks; a reader of a view or of a concat in place depends on whoever wrote the bytes.
Model inputs and outputs are tasks on the host, of no duration unless a profile says how long handing them over takes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from hetpart.cost.estimate import Cost
from hetpart.graph.assign import Assignment
from hetpart.partition.problem import Converter, Link, Mode, Problem, Task, Tensor
from hetpart.targets.schema import Percentile, Processor, Target

INPUTS = "(inputs)"
OUTPUTS = "(outputs)"


def formulate(
    assignment: Assignment,
    target: Target,
    costs: Mapping[str, Mapping[str, Cost]],
    shared: Mapping[str, Mapping[str, str]],
    competing: int = 0,
    *,
    start_us: float = 0.0,
    end_us: float = 0.0,
) -> Problem:
    """The placement problem.

    Args:
        assignment: units with layouts.
        target: processors and links.
        costs: per unit, per processor that supports it; a processor without an entry gets no mode.
        shared: per unit and processor, why it works on shared buffers; empty where it works in private memory.
        competing: other busy threads on the host's cores.
        start_us, end_us: from a call to the first kernel, and from the last kernel to the caller.
    """
    host = target.host.name
    usable = [p for p in target.processors if p.name == host or any(p.name in c for c in costs.values())]
    names = tuple(p.name for p in usable)

    def private(unit: str, processor: str) -> bool:
        return not shared[unit][processor]

    tasks = [Task(INPUTS, (Mode(host, math.ceil(start_us)),))]
    for unit in assignment.graph:
        if unit.name not in assignment.free:
            tasks.append(
                Task(
                    unit.name,
                    tuple(
                        _mode(target.processor(p), c, target.host, private(unit.name, p), competing)
                        for p, c in costs[unit.name].items()
                    ),
                )
            )
    tasks.append(Task(OUTPUTS, (Mode(host, math.ceil(end_us)),)))
    return Problem(names, host, tuple(tasks), _tensors(assignment), *_ways("median", names, target))


def with_transfers_at(percentile: Percentile, problem: Problem, target: Target) -> Problem:
    """`problem`, which was formulated for `target`, with every transfer and conversion at a percentile of its time."""
    links, converters = _ways(percentile, problem.processors, target)
    return replace(problem, links=links, converters=converters)


def _ways(
    percentile: Percentile, names: tuple[str, ...], target: Target
) -> tuple[tuple[Link, ...], tuple[Converter, ...]]:
    """Links and converters."""
    links = tuple(
        Link(link.source, link.target, math.ceil(law.fixed_us), law.gb_per_s * 1e3, link.loading)
        for link in target.links
        for law in (link.law(percentile),)
        if link.source in names and link.target in names
    )
    converters = tuple(
        Converter(p.name, math.ceil(p.cost.convert_start_us), p.cost.convert_speed(percentile) * 1e3)
        for p in target.processors
        if p.name in names and p.cost is not None and p.cost.convert_gb_per_s
    )
    return links, converters


def _mode(processor: Processor, cost: Cost, host: Processor, private: bool, competing: int) -> Mode:
    """A launch keeps the host busy, unless a core of the processor's own runs its driver."""
    if processor is host:
        return Mode(host.name, math.ceil(cost.latency_us * _share(host, host.threads, competing)), 0, private)
    launch_us = 0 if processor.core is not None else math.ceil(cost.launch_us)
    duration_us = max(0, math.ceil(cost.latency_us) - launch_us)
    return Mode(processor.name, duration_us, math.ceil(launch_us * _share(host, 1, competing)), private)


def _share(host: Processor, threads: int, competing: int) -> float:
    """How much longer work on `threads` of the host's cores takes beside `competing` busy threads of equal priority.

    A fair scheduler (Linux's) shares the cores out equally, and hetpart's runtime hands a kernel's work to whichever
    of its threads has time. The cores are those that a kernel uses: nobody can be sure that others stay off them.
    """
    return max(1.0, (threads + competing) / host.threads)


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
