"""List scheduling with insertion: HEFT and PEFT.

Nodes are taken by falling rank; each goes to the option in which it finishes earliest, into the first gap that is wide
enough on every processor it uses. HEFT (Topcuoglu et al., IEEE TPDS 13(3), 2002) ranks by mean costs and looks no
further; PEFT (Arabnejad and Barbosa, IEEE TPDS 25(3), 2014) ranks by, and adds to every finish, the path that is still
ahead if all goes well.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from hetpart.partition.bounds import tails
from hetpart.partition.dag import Dag, Option, Schedule


def best_list_schedule(dag: Dag) -> Schedule:
    """The shorter of HEFT's and PEFT's schedules."""
    return min(heft(dag), peft(dag), key=lambda schedule: schedule.makespan)


def heft(dag: Dag) -> Schedule:
    rank = [0.0] * len(dag)
    pairs = max(1, dag.places**2)
    for v in reversed(range(len(dag))):
        after = ((sum(map(sum, delay)) / pairs + rank[w]) for w, delay in dag.successors[v])
        lengths = [option.length for option in dag.options[v]]
        rank[v] = sum(lengths) / len(lengths) + max(after, default=0.0)
    return _schedule(dag, rank, [[0] * len(options) for options in dag.options])


def peft(dag: Dag) -> Schedule:
    ahead = tails(dag)
    return _schedule(dag, [sum(row) / len(row) for row in ahead], ahead)


def _schedule(dag: Dag, rank: Sequence[float], ahead: Sequence[Sequence[int]]) -> Schedule:
    """Ties go to the earlier node and the earlier option."""
    timelines = [_Timeline() for _ in range(dag.processors)]
    chosen = [options[0] for options in dag.options]
    starts = [0] * len(dag)
    missing = [len(into) for into in dag.predecessors]
    queue = [(-rank[v], v) for v, count in enumerate(missing) if not count]
    heapify(queue)
    while queue:
        _, v = heappop(queue)
        candidates = []
        for i, option in enumerate(dag.options[v]):
            start = _earliest(timelines, option, dag.ready(v, option.processor, chosen, starts))
            candidates.append((start + option.length + ahead[v][i], i, start))
        _, i, starts[v] = min(candidates)
        chosen[v] = dag.options[v][i]
        for processor, duration in chosen[v].uses:
            timelines[processor].occupy(starts[v], duration)
        for w, _ in dag.successors[v]:
            missing[w] -= 1
            if not missing[w]:
                heappush(queue, (-rank[w], w))
    return Schedule(tuple(chosen), tuple(starts))


def _earliest(timelines: Sequence[_Timeline], option: Option, ready: int) -> int:
    """The first time from `ready` on at which all processors that `option` uses are free for as long as it needs."""
    start, previous = ready, -1
    while start != previous:
        previous = start
        for processor, duration in option.uses:
            start = timelines[processor].gap(start, duration)
    return start


class _Timeline:
    """The busy intervals of one processor."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def gap(self, ready: int, duration: int) -> int:
        """The first start from `ready` on of a free interval of that duration."""
        start = ready
        for i in range(bisect.bisect_right(self._ends, ready), len(self._starts)):
            if start + duration <= self._starts[i]:
                break
            start = max(start, self._ends[i])
        return start

    def occupy(self, start: int, duration: int) -> None:
        i = bisect.bisect_left(self._starts, start)
        self._starts.insert(i, start)
        self._ends.insert(i, start + duration)
