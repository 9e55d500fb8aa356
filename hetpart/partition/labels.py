"""Exact scheduling of one `Dag` by dynamic programming over sets of started nodes, as a beam where they are too many.

Every left-shifted schedule arises by starting its nodes one by one, in the order of their starts. What matters of the
past is then a *label*: when each processor is free, and when each option of each node to come could have its inputs.
Of two labels with the same set of started nodes, one that is nowhere later dominates the other, which is dropped; so is
a label whose lower bound is no better than the best schedule known. Inference graphs are narrow: few sets, few labels.

When a level (sets of one size) holds more labels than the beam is wide, those with the smallest bounds are kept. The
smallest bound among the others limits how far the result can be from the optimum: still a proof, with a gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import le, lt, mul, sub
from typing import NamedTuple

from hetpart.partition.bounds import least_price, load_prices, lower_bound, tails
from hetpart.partition.budget import Budget
from hetpart.partition.dag import Dag, Option, Proof, Schedule

_LABELS_PER_UNIT = 25_000
"""Labels made per unit of the budget; about what one core does in a second."""


class _Label(NamedTuple):
    """A partial schedule.

    Attributes:
        free: per processor, when it is free.
        arrivals: per node with a started predecessor, per option, when what those predecessors made is there. Like
            `free` never before the last start, because nothing can start before that any more.
        times: both in one line, for comparison with labels of the same set, which have the same nodes there.
        work: for each price vector, the least price of all nodes to come.
        bound: no completion is shorter.
        node, option, start: what was started last.
        parent: the label before that; None at the source.
    """

    free: tuple[int, ...]
    arrivals: dict[int, tuple[int, ...]]
    times: tuple[int, ...]
    work: tuple[int, ...]
    bound: int
    node: int
    option: Option
    start: int
    parent: _Label | None


_Level = dict[int, list[_Label]]
"""Labels by the set of their started nodes, a bit mask."""


def solve_by_labels(dag: Dag, incumbent: Schedule, width: int, budget: Budget) -> Proof:
    """Improves `incumbent` or proves how good it is, keeping at most `width` labels per level.

    When the budget is spent, the beam narrows to one and the search runs to its end, so that the bound is valid.
    """
    return _Search(dag, incumbent).run(width, budget)


class _Search:
    def __init__(self, dag: Dag, incumbent: Schedule) -> None:
        self.dag = dag
        self.best = incumbent
        self.limit = incumbent.makespan  # labels with this bound are of no use
        self.made = 0
        self.tails = tails(dag)
        self.needs = [sum(1 << u for u, _ in into) for into in dag.predecessors]
        self.prices = load_prices(dag, count=3)
        self.unit = sum(self.prices[0])
        self.costs = [tuple(least_price(options, price) for price in self.prices) for options in dag.options]

    def run(self, width: int, budget: Budget) -> Proof:
        source = self.dag.options[0][0]
        free = (0,) * self.dag.processors
        arrivals = self._arrivals({}, 0, source, 0)
        work = tuple(sum(column) for column in zip(*self.costs, strict=True))
        level: _Level = {1: [_Label(free, arrivals, (), work, 0, 0, source, 0, None)]}
        dropped = self.limit
        for _ in range(len(self.dag) - 1):
            self.made = 0
            level = self._next(level)
            budget.charge(self.made / _LABELS_PER_UNIT)
            level, others = _narrowed(level, width if budget else 1)
            dropped = min([dropped, *others])
        return Proof(self.best, max(min(dropped, self.limit), lower_bound(self.dag)))

    def _next(self, level: _Level) -> _Level:
        """The undominated labels with one node more."""
        following: _Level = {}
        for started, labels in level.items():
            for node in labels[0].arrivals:
                if self.needs[node] & ~started:
                    continue
                work = tuple(map(sub, labels[0].work, self.costs[node]))
                family = following.setdefault(started | 1 << node, [])
                for label in labels:
                    for child in self._children(label, node, work):
                        _insert(family, child)
        return {started: family for started, family in following.items() if family}

    def _children(self, label: _Label, node: int, work: tuple[int, ...]) -> Iterator[_Label]:
        """`label` with `node` started in each option that can still be better than the best."""
        for i, option in enumerate(self.dag.options[node]):
            start = max([label.arrivals[node][i], *(label.free[processor] for processor, _ in option.uses)])
            finish = start + option.length
            bound = max(label.bound, finish + self.tails[node][i])
            if bound >= self.limit:
                continue
            free = [max(time, start) for time in label.free]
            for processor, time in option.uses:
                free[processor] = start + time
            bound = max(bound, self._load_bound(free, work))
            if bound >= self.limit:
                continue
            arrivals = self._arrivals(label.arrivals, node, option, start)
            bound = max(bound, self._path_bound(free, arrivals))
            if bound >= self.limit:
                continue
            self.made += 1
            times = (*free, *(time for w in sorted(arrivals) for time in arrivals[w]))
            child = _Label(tuple(free), arrivals, times, work, bound, node, option, start, label)
            if node == len(self.dag) - 1:
                self.best, self.limit = _schedule(child), finish
            else:
                yield child

    def _arrivals(
        self, known: Mapping[int, tuple[int, ...]], node: int, option: Option, start: int
    ) -> dict[int, tuple[int, ...]]:
        """The arrivals after `node` has started, lifted to its start."""
        arrivals = {w: tuple([max(time, start) for time in times]) for w, times in known.items() if w != node}
        for w, delay in self.dag.successors[node]:
            finish = start + option.length
            times = tuple([finish + delay[option.processor][reader.processor] for reader in self.dag.options[w]])
            arrivals[w] = tuple(map(max, arrivals[w], times)) if w in arrivals else times
        return arrivals

    def _load_bound(self, free: Sequence[int], work: Sequence[int]) -> int:
        """What is to come, bought at the prices, after what is occupied already."""
        bound = 0
        for price, rest in zip(self.prices, work, strict=True):
            bound = max(bound, -(-(rest + sum(map(mul, price, free))) // self.unit))
        return bound

    def _path_bound(self, free: Sequence[int], arrivals: Mapping[int, tuple[int, ...]]) -> int:
        bound = 0
        for w, times in arrivals.items():
            ends = [
                max(time, free[option.processor]) + option.length + tail
                for time, option, tail in zip(times, self.dag.options[w], self.tails[w], strict=True)
            ]
            bound = max(bound, min(ends))
        return bound


def _insert(family: list[_Label], label: _Label) -> None:
    """Adds `label` unless one in `family` dominates it, and removes those that it dominates."""
    times = label.times
    for other in family:
        if all(map(le, other.times, times)):
            return
    family[:] = [other for other in family if any(map(lt, other.times, times))]
    family.append(label)


def _narrowed(level: _Level, width: int) -> tuple[_Level, list[int]]:
    """The `width` labels with the smallest bounds, and the bounds of the others."""
    if sum(map(len, level.values())) <= width:
        return level, []
    ranked = sorted(
        (label.bound, sum(label.free), started, i)
        for started, family in level.items()
        for i, label in enumerate(family)
    )
    kept: _Level = {}
    for _, _, started, i in ranked[:width]:
        kept.setdefault(started, []).append(level[started][i])
    return kept, [bound for bound, *_ in ranked[width:]]


def _schedule(last: _Label) -> Schedule:
    """The whole schedule that ends in `last`, the sink's label."""
    label: _Label | None = last
    options: dict[int, Option] = {}
    starts: dict[int, int] = {}
    while label is not None:
        options[label.node], starts[label.node] = label.option, label.start
        label = label.parent
    return Schedule(tuple(options[v] for v in sorted(options)), tuple(starts[v] for v in sorted(starts)))
