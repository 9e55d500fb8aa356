"""Exact scheduling of one `Dag` by dynamic programming over sets of started nodes, as a beam where they are too many.

Every left-shifted schedule arises by starting its nodes one by one, in the order of their starts. What matters of the
past is then a *label*: when each processor is free, and when each node to come could start in each of its options. Of
two labels with the same set of started nodes, one that is nowhere later dominates the other, which is dropped. Also
dropped is a label whose lower bound is no better than the best schedule known, and one that left room in which another
node could have been started and finished without anybody noticing. Inference graphs are narrow: few sets, few labels.

When a level (sets of one size) holds more labels than the beam is wide, those with the smallest bounds are kept. The
smallest bound among the others limits how far the result can be from the optimum: still a proof, with a gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import le, lt, mul, sub
from typing import NamedTuple

from hetpart.partition.bounds import least_price, load_prices, lower_bound, tails
from hetpart.partition.budget import Budget
from hetpart.partition.dag import Dag, Option, Proof, Schedule

_STEPS_PER_UNIT = 120_000
"""Steps per unit of the budget; measured on retinaface and inception: 0.62 to 0.78 s of one core."""

_STEPS_PER_EXTENSION = 5
"""What extending a family by one option costs however few its labels are, in steps; a label made is one step."""


_NARROW = 100
"""Sets of one size up to which this is the engine to choose: inception has 13, retinaface's heads 5131."""


class _Label(NamedTuple):
    """A partial schedule.

    Attributes:
        times: per processor, when it may next be used; then per node of the family's frontier and per option, the
            earliest start as far as the started nodes are concerned. None is before the last start, as the order of
            starts forbids it, and no start is before its processors are free: as late as known, hence easily compared.
        bound: no completion is shorter.
        node, option, start: what was started last, the option by its index.
        parent: the label before that; None at the beginning.
    """

    times: tuple[int, ...]
    bound: int
    node: int
    option: int
    start: int
    parent: _Label | None


class _Family:
    """The undominated labels with one set of started nodes.

    Attributes:
        frontier: the nodes to come of which a predecessor has started.
        place: where the times of a frontier node begin in a label.
        work: for each price vector, the least price of all nodes to come.
    """

    def __init__(self, dag: Dag, frontier: tuple[int, ...], work: tuple[int, ...]) -> None:
        self.frontier = frontier
        self.work = work
        self.labels: list[_Label] = []
        self.place: dict[int, int] = {}
        place = dag.processors
        for node in frontier:
            self.place[node] = place
            place += len(dag.options[node])

    def insert(self, label: _Label) -> None:
        """Adds `label` unless another dominates it, and removes those that it dominates."""
        times = label.times
        for other in self.labels:
            if all(map(le, other.times, times)):
                return
        self.labels = [other for other in self.labels if any(map(lt, other.times, times))]
        self.labels.append(label)


_Level = dict[int, _Family]
"""Families by the set of their started nodes, a bit mask."""


class _Reader(NamedTuple):
    """How an option of a frontier node follows from a label and from the start of one more node.

    Attributes:
        place: where the label has its earliest start; -1 if the node is new in the frontier, and nothing is known.
        after: how long after the start it must wait.
        uses: the processors it needs.
        rest: from its start to the end of the schedule, at least.
    """

    place: int
    after: int
    uses: tuple[int, ...]
    rest: int


def solve_by_labels(dag: Dag, incumbent: Schedule, cutoff: int, width: int, budget: Budget) -> Proof:
    """Improves `incumbent` or proves how good it is, keeping at most `width` labels per level.

    Schedules as long as `cutoff` are of no interest: the bound is not raised beyond. When the budget is spent, the beam
    narrows to one and the search runs to its end, so that the bound is valid.
    """
    return _Search(dag, incumbent, cutoff).run(width, budget)


def is_narrow(dag: Dag) -> bool:
    """Whether there are few sets: chains side by side, rather than many independent branches."""
    needs = [sum(1 << u for u, _ in into) for into in dag.predecessors]
    level: dict[int, tuple[int, ...]] = {0: (0,)}  # started -> ready
    for _ in dag.options:
        following = {}
        for started, ready in level.items():
            for v in ready:
                if (target := started | 1 << v) not in following:
                    new = (w for w, _ in dag.successors[v] if not needs[w] & ~target)
                    following[target] = (*(u for u in ready if u != v), *new)
        if len(following) > _NARROW:
            return False
        level = following
    return True


class _Search:
    def __init__(self, dag: Dag, incumbent: Schedule, cutoff: int) -> None:
        self.dag = dag
        self.best = incumbent
        self.limit = min(cutoff, incumbent.makespan)  # labels with this bound are of no use
        self.steps = 0
        self.tails = tails(dag)
        self.needs = [sum(1 << u for u, _ in into) for into in dag.predecessors]
        self.prices = load_prices(dag, count=3)
        self.unit = sum(self.prices[0])
        self.costs = [tuple(least_price(options, price) for price in self.prices) for options in dag.options]
        self.companions = _companions(dag)
        self.reaches = [[_reach(dag, v, option) for option in options] for v, options in enumerate(dag.options)]

    def run(self, width: int, budget: Budget) -> Proof:
        work = tuple(sum(column) for column in zip(*self.costs, strict=True))
        family = _Family(self.dag, (0,), work)
        family.labels.append(_Label((0,) * (self.dag.processors + len(self.dag.options[0])), 0, -1, 0, 0, None))
        level: _Level = {0: family}
        dropped = self.limit
        for _ in self.dag.options:
            self.steps = 0
            level = self._next(level)
            budget.charge(self.steps / _STEPS_PER_UNIT)
            dropped = min([dropped, *_narrow(level, width if budget else 1, self.dag.processors)])
        return Proof(self.best, max(min(dropped, self.limit), lower_bound(self.dag)))

    def _next(self, level: _Level) -> _Level:
        """The undominated labels with one node more."""
        following: _Level = {}
        for started, family in level.items():
            if not family.labels:
                continue
            ready = [node for node in family.frontier if not self.needs[node] & ~started]
            for node in ready:
                target = started | 1 << node
                if target not in following:
                    frontier = {*family.frontier, *(w for w, _ in self.dag.successors[node])} - {node}
                    work = tuple(map(sub, family.work, self.costs[node]))
                    following[target] = _Family(self.dag, tuple(sorted(frontier)), work)
                others = [other for other in ready if other != node]
                for option in range(len(self.dag.options[node])):
                    self._extend(family, node, option, others, following[target])
        return following

    def _extend(self, family: _Family, node: int, index: int, others: list[int], target: _Family) -> None:
        """Starts `node` in its option `index` after every label of `family`; the others are ready, too."""
        self.steps += _STEPS_PER_EXTENSION
        option = self.dag.options[node][index]
        place = family.place[node] + index
        rest = option.length + self.tails[node][index]
        readers = self._readers(family, node, option, target.frontier)
        fillers = [(family.place[other] + i, reach) for other in others for i, reach in enumerate(self.reaches[other])]
        for label in family.labels:
            times = label.times
            start = times[place]
            bound = max(label.bound, start + rest)
            if bound >= self.limit or _has_room(times, start, fillers):
                continue
            free = self._free(times, start, option)
            for price, work in zip(self.prices, target.work, strict=True):
                bound = max(bound, -(-(work + sum(map(mul, price, free))) // self.unit))
            if bound >= self.limit:
                continue
            following = free.copy()
            for each in readers:
                least = self.limit
                for known, after, uses, ahead in each:
                    time = start + after
                    if known >= 0 and times[known] > time:
                        time = times[known]
                    for processor in uses:
                        if free[processor] > time:
                            time = free[processor]
                    following.append(time)
                    if time + ahead < least:
                        least = time + ahead
                if least > bound:
                    bound = least
            if bound >= self.limit:
                continue
            self.steps += 1
            child = _Label(tuple(following), bound, node, index, start, label)
            if target.frontier:
                target.insert(child)
            else:
                self.best, self.limit = self._schedule(child), start + option.length

    def _readers(
        self, family: _Family, node: int, option: Option, frontier: tuple[int, ...]
    ) -> list[tuple[_Reader, ...]]:
        """Per node of the new frontier, per option."""
        delays = dict(self.dag.successors[node])
        readers = []
        for w in frontier:
            each = []
            for i, reader in enumerate(self.dag.options[w]):
                place = family.place[w] + i if w in family.place else -1
                after = option.length + delays[w][option.processor][reader.processor] if w in delays else 0
                uses = tuple(processor for processor, _ in reader.uses)
                each.append(_Reader(place, after, uses, reader.length + self.tails[w][i]))
            readers.append(tuple(each))
        return readers

    def _free(self, times: Sequence[int], start: int, option: Option) -> list[int]:
        """Per processor, when it may next be used after `option` was started."""
        free = [max(time, start) for time in times[: self.dag.processors]]
        for processor, time in option.uses:
            free[processor] = start + time
        for processor, companions in self.companions:
            for companion in companions:
                free[processor] = max(free[processor], free[companion])
        return free

    def _schedule(self, last: _Label) -> Schedule:
        """The whole schedule that ends in `last`, the sink's label."""
        options = [each[0] for each in self.dag.options]
        starts = [0] * len(self.dag)
        label = last
        while label.parent is not None:
            options[label.node], starts[label.node] = self.dag.options[label.node][label.option], label.start
            label = label.parent
        return Schedule(tuple(options), tuple(starts))


def _companions(dag: Dag) -> list[tuple[int, tuple[int, ...]]]:
    """Processors that are never used without certain others: the GPU not without the host, which launches its work.

    All that an option uses it uses from its start, so such a processor is of no use before its companions are free.
    """
    together: dict[int, set[int]] = {}
    for options in dag.options:
        for option in options:
            used = {processor for processor, _ in option.uses}
            for processor in used:
                together[processor] = together.get(processor, used) & used
    return [(p, tuple(sorted(used - {p}))) for p, used in sorted(together.items()) if len(used) > 1]


def _reach(dag: Dag, node: int, option: Option) -> int:
    """From the start of `node` in `option` until its result is wherever it may be wanted."""
    delays = (
        delay[option.processor][reader.processor] for w, delay in dag.successors[node] for reader in dag.options[w]
    )
    return option.length + max(delays, default=0)


def _has_room(times: Sequence[int], start: int, fillers: list[tuple[int, int]]) -> bool:
    """Whether another ready node could have been started and been out of the way before `start`.

    Any completion is then no worse with that node moved there, and gets its turn from the label that starts it first.
    """
    return any(times[place] < start and times[place] + reach <= start for place, reach in fillers)


def _narrow(level: _Level, width: int, processors: int) -> list[int]:
    """Keeps the `width` labels with the smallest bounds; returns the bounds of the others."""
    if sum(len(family.labels) for family in level.values()) <= width:
        return []
    ranked = sorted(
        (label.bound, sum(label.times[:processors]), started, i)
        for started, family in level.items()
        for i, label in enumerate(family.labels)
    )
    kept: dict[int, list[_Label]] = {started: [] for started in level}
    for _, _, started, i in ranked[:width]:
        kept[started].append(level[started].labels[i])
    for started, family in level.items():
        family.labels = kept[started]
    return [bound for bound, *_ in ranked[width:]]
