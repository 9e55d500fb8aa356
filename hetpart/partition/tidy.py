"""Fewer transfers at the same makespan.

The exact search only looks at the makespan, so a node with slack may end up on either processor. Here every group of
neighbours on one processor, and every node that a transfer leads to or from, is moved to another processor if the
schedule is not longer for it and needs fewer transfers.
"""

from __future__ import annotations

from collections.abc import Iterator

from hetpart.partition.dag import Dag, Option, Schedule


def tidy(dag: Dag, schedule: Schedule) -> Schedule:
    """A schedule with no more transfers than `schedule`, and no longer; a local optimum."""
    improved = True
    while improved:
        improved = False
        for nodes in _candidates(dag, schedule):
            for processor in range(dag.places):
                if moved := _moved(dag, schedule, nodes, processor):
                    schedule, improved = moved, True
            if improved:
                break  # the groups are others now
    return schedule


def transfers(dag: Dag, options: tuple[Option, ...]) -> int:
    """Transfers that a schedule with these options makes: one per node and processor that wants its result."""
    return sum(
        len({options[w].processor for w, _ in successors} - {options[v].processor})
        for v, successors in enumerate(dag.successors)
    )


def _moved(dag: Dag, schedule: Schedule, nodes: list[int], processor: int) -> Schedule | None:
    """`schedule` with `nodes` on `processor`, all in the same order; None unless that is an improvement."""
    options = list(schedule.options)
    for v in nodes:
        there = next((option for option in dag.options[v] if option.processor == processor), None)
        if there is None:
            return None
        options[v] = there
    if transfers(dag, tuple(options)) >= transfers(dag, schedule.options):
        return None
    moved = dag.serial(options, schedule.order())
    return moved if moved.makespan <= schedule.makespan else None


def _candidates(dag: Dag, schedule: Schedule) -> Iterator[list[int]]:
    """The groups of connected nodes on one processor, smallest first, then the single nodes that have a transfer."""
    group = list(range(len(dag)))
    for u, w, _ in dag.edges:
        if schedule.options[u].processor == schedule.options[w].processor:
            old, new = sorted((group[u], group[w]), reverse=True)
            group = [new if each == old else each for each in group]
    members: dict[int, list[int]] = {}
    for v, number in enumerate(group):
        members.setdefault(number, []).append(v)
    yield from sorted(members.values(), key=lambda nodes: (len(nodes), nodes))
    crossing = {v for u, w, _ in dag.edges if group[u] != group[w] for v in (u, w)}
    yield from ([v] for v in sorted(crossing) if len(members[group[v]]) > 1)
