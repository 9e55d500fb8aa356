"""Improves the schedule of a `Dag` too big for an exact solve: window by window.

A window is a run of nodes that are neighbours by start time. All others keep their option and their order on every
processor; what they impose on the window is a release (earlier nodes) and a tail (later nodes) per node and option.
Releases and tails are edge delays from a source and to a sink, so a window is a small `Dag` itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hetpart.partition.budget import Budget
from hetpart.partition.dag import Dag, Option, Schedule
from hetpart.partition.labels import solve_by_labels

SIZE = 24
"""Nodes in a window; larger ones gained less per time on NASNet-like graphs."""

_WIDTHS = (20, 50)
"""Labels per level in a window; the wider beam is tried when a sweep with the narrower one finds nothing more."""


def improve(dag: Dag, schedule: Schedule, budget: Budget) -> Schedule:
    """A schedule that is at least as good; sweeps until nothing improves or the budget is spent."""
    schedule = dag.serial(schedule.options, schedule.order())
    for width in _WIDTHS:
        before = schedule.makespan + 1
        while schedule.makespan < before and budget:
            before = schedule.makespan
            for first in range(1, max(2, len(dag) - 1 - SIZE // 2), SIZE // 2):
                if budget:
                    schedule = _solve_window(dag, schedule, first, width, budget)
    return schedule


def _solve_window(dag: Dag, schedule: Schedule, first: int, width: int, budget: Budget) -> Schedule:
    """Solves the nodes from place `first` of the schedule's order on anew; never the sink."""
    order = schedule.order()
    before, inside = order[:first], order[first : min(first + SIZE, len(order) - 1)]
    after = order[first + len(inside) :]
    window = _window(dag, schedule, before, inside, after)
    none = Option(0, 0, ())
    incumbent = window.serial((none, *(schedule.options[v] for v in inside), none), range(len(window)))
    found = solve_by_labels(window, incumbent, incumbent.makespan, width, budget).schedule
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
        release, tail = [0] * dag.places, [0] * dag.places
        for option in dag.options[v]:
            release[option.processor] = _release(dag, schedule, v, option, free, place)
            tail[option.processor] = _tail(dag, schedule, v, option, rest, upcoming)
        edges.append((0, place[v], (tuple(release),) * dag.places))
        edges.append((place[v], sink, tuple((time,) * dag.places for time in tail)))
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
