"""Improves the schedule of a `Dag` too big for an exact solve: window by window, each solved by CP-SAT.

A window is a run of nodes that are neighbours by start time. All others keep their option and their order on every
processor; what they impose on the window is a release (earlier nodes) and a tail (later nodes) per node and option.
Releases and tails are edge delays from a source and to a sink, so a window is a small `Dag` itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hetpart.partition.budget import Budget
from hetpart.partition.dag import Dag, Option, Schedule
from hetpart.partition.exact import solve_exactly

_SIZES = (24, 40, 60)
"""Nodes in a window; a larger size is tried when a sweep with the smaller one finds nothing more."""

_LIMIT = 0.3
"""Deterministic time for one window."""


def improve(dag: Dag, schedule: Schedule, budget: Budget) -> Schedule:
    """A schedule that is at least as good; sweeps until nothing improves or the budget is spent."""
    schedule = dag.serial(schedule.options, schedule.order())
    for size in _SIZES:
        before = schedule.makespan + 1
        while schedule.makespan < before and budget:
            before = schedule.makespan
            for first in range(1, max(2, len(dag) - 1 - size // 2), size // 2):
                if budget:
                    schedule = _solve_window(dag, schedule, first, size, budget)
    return schedule


def _solve_window(dag: Dag, schedule: Schedule, first: int, size: int, budget: Budget) -> Schedule:
    """Solves the nodes at places ``first ... first + size - 1`` of the schedule's order anew; never the sink."""
    order = schedule.order()
    before, inside = order[:first], order[first : min(first + size, len(order) - 1)]
    after = order[first + len(inside) :]
    window = _window(dag, schedule, before, inside, after)
    none = Option(0, 0, ())
    incumbent = window.serial((none, *(schedule.options[v] for v in inside), none), range(len(window)))
    found = solve_exactly(window, incumbent, _LIMIT, budget).schedule
    options = list(schedule.options)
    for place, v in enumerate(inside, start=1):
        options[v] = found.options[place]
    middle = (inside[place - 1] for place in found.order() if 0 < place <= len(inside))
    return dag.serial(options, (*before, *middle, *after))


def _window(dag: Dag, schedule: Schedule, before: list[int], inside: list[int], after: list[int]) -> Dag:
    """The nodes `inside` as a `Dag` whose source and sink stand for the nodes before and after."""
    free = [0] * dag.processors
    for v in before:
        for processor, time in schedule.options[v].uses:
            free[processor] = schedule.starts[v] + time
    rest, upcoming = _rests(dag, schedule, after)
    place = {v: i for i, v in enumerate(inside, start=1)}
    sink = len(inside) + 1
    none = Option(0, 0, ())
    edges = []
    for v in inside:
        release, tail = [0] * dag.processors, [0] * dag.processors
        for option in dag.options[v]:
            release[option.processor] = _release(dag, schedule, v, option, free, place)
            tail[option.processor] = _tail(dag, schedule, v, option, rest, upcoming)
        edges.append((0, place[v], (tuple(release),) * dag.processors))
        edges.append((place[v], sink, tuple((time,) * dag.processors for time in tail)))
        edges += [(place[v], place[w], delay) for w, delay in dag.successors[v] if w in place]
    options = ((none,), *(dag.options[v] for v in inside), (none,))
    return Dag(dag.processors, options, tuple(sorted(edges)))


def _release(
    dag: Dag, schedule: Schedule, v: int, option: Option, free: Sequence[int], place: Mapping[int, int]
) -> int:
    """When v may start in `option` as far as the nodes before the window are concerned."""
    release = max((free[processor] for processor, _ in option.uses), default=0)
    for u, delay in dag.predecessors[v]:
        if u not in place:
            release = max(release, schedule.finish(u) + delay[schedule.options[u].processor][option.processor])
    return release


def _tail(
    dag: Dag, schedule: Schedule, v: int, option: Option, rest: Mapping[int, int], upcoming: Sequence[int]
) -> int:
    """What must follow the finish of v in `option` as far as the nodes after the window are concerned.

    A processor that v releases early (the host, after the launch) has the rest of v's length as a head start.
    """
    tail = max((upcoming[processor] + time - option.length for processor, time in option.uses), default=0)
    for w, delay in dag.successors[v]:
        if w in rest:
            tail = max(tail, delay[option.processor][schedule.options[w].processor] + rest[w])
    return max(tail, 0)


def _rests(dag: Dag, schedule: Schedule, after: list[int]) -> tuple[dict[int, int], list[int]]:
    """For each node after the window: the least time from its start to the end, all options and orders as they are.

    And per processor, the same from the start of its first use after the window.
    """
    rest: dict[int, int] = {}
    upcoming = [0] * dag.processors
    for v in reversed(after):
        option = schedule.options[v]
        rest[v] = option.length + _tail(dag, schedule, v, option, rest, upcoming)
        for processor, _ in option.uses:
            upcoming[processor] = rest[v]
    return rest, upcoming
