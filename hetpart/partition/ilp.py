"""Strategy ``ilp``: the shortest schedule, with a proof of how far from the optimum it can be.

Cut nodes split the graph into segments. Between two cut nodes only the processors these run on matter, so the optimum
is a shortest path over (cut node, option) whose arc lengths are small exact problems. These are solved lazily: every
arc has a lower and an upper bound, and while the shortest path by lower bounds is shorter than the shortest by upper
bounds, an open arc on it is solved, with more effort each time: by dynamic programming if the segment is narrow, else
by CP-SAT. No more is asked than the path needs: an arc's length matters only below the cutoff at which no path through
it could be the shortest. Equal segments share their arcs. A big segment that stays open is improved window by window,
and may keep a gap.

In the end transfers that gain nothing are removed, and the result is compared with the baselines: it is never worse
than the best of them, and where one processor alone is as good, that is the plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from hetpart.partition import windows
from hetpart.partition.baselines import baselines
from hetpart.partition.bounds import lower_bound
from hetpart.partition.budget import DEFAULT_LIMIT, Budget
from hetpart.partition.cp_sat import solve_by_cp_sat
from hetpart.partition.dag import Dag, Proof, Schedule
from hetpart.partition.instance import Instance
from hetpart.partition.labels import is_narrow, solve_by_labels
from hetpart.partition.list_schedule import best_list_schedule
from hetpart.partition.problem import Placement, Problem
from hetpart.partition.segments import split, without_implied_edges
from hetpart.partition.tidy import tidy

_ATTEMPTS = ((2_000, 0.3), (100_000, 10.0), (1_000_000, 40.0), (10_000_000, 160.0))
"""Successive attempts on an arc: labels to keep in all levels together, units of the budget for CP-SAT."""


@dataclass
class Arc:
    """One segment with fixed options of both its cut nodes: what is known about its shortest schedule."""

    dag: Dag
    schedule: Schedule
    lower: int
    attempts: int = 0

    @property
    def upper(self) -> int:
        return self.schedule.makespan

    @property
    def open(self) -> bool:
        """Whether there is a gap and another attempt to close it."""
        return self.lower < self.upper and self.attempts < len(_ATTEMPTS)

    @property
    def effort(self) -> tuple[int, int]:
        """What the next attempt may take, to compare: small arcs first, as they tighten the others' cutoffs."""
        return self.attempts, len(self.dag)

    def refine(self, cutoff: int, budget: Budget) -> None:
        """One more attempt to find a schedule shorter than `cutoff`, or to prove that there is none."""
        labels, limit = _ATTEMPTS[self.attempts]
        if self.narrow or self.attempts == 0:
            self._take(solve_by_labels(self.dag, self.schedule, cutoff, labels // len(self.dag) + 1, budget))
        if self.lower < min(cutoff, self.upper) and (not self.narrow or self.attempts >= 2):
            self._take(solve_by_cp_sat(self.dag, Proof(self.schedule, self.lower), cutoff, limit, budget))
        if self.lower < min(cutoff, self.upper) and self.attempts == 0 and len(self.dag) > 2 * windows.SIZE:
            self.schedule = windows.improve(self.dag, self.schedule, budget)
        self.attempts += 1

    @cached_property
    def narrow(self) -> bool:
        """Whether labels are the engine for it, rather than CP-SAT."""
        return is_narrow(self.dag)

    def _take(self, proof: Proof) -> None:
        self.schedule, self.lower = proof.schedule, max(self.lower, proof.lower_bound)


Key = tuple[int, int, int]
"""An arc: number of the segment's structure, index of its source's option, index of its sink's option."""


class Chain:
    """The segments of a `Dag` and the shortest paths through their arcs."""

    def __init__(self, dag: Dag) -> None:
        self.dag = dag
        self.segments = split(dag)
        numbers: dict[Dag, int] = {}
        self.structures = [numbers.setdefault(segment.dag, len(numbers)) for segment in self.segments]
        self.arcs: dict[Key, Arc] = {}
        for part, number in numbers.items():
            for i, source in enumerate(part.options[0]):
                for j, sink in enumerate(part.options[-1]):
                    fixed = part.restricted({0: source, len(part) - 1: sink})
                    self.arcs[number, i, j] = Arc(fixed, _start(fixed), lower_bound(fixed))

    def shortest(self, length: Callable[[Arc], int]) -> tuple[int, list[Key]]:
        """Length and arcs of the shortest path from source to sink; ties go to earlier options."""
        reached = dict.fromkeys(range(len(self.dag.options[0])), 0)
        steps: list[dict[int, Key]] = []
        for segment, number in zip(self.segments, self.structures, strict=True):
            ways = {
                j: min((reached[i] + length(self.arcs[number, i, j]), (number, i, j)) for i in reached)
                for j in range(len(self.dag.options[segment.last]))
            }
            reached = {j: total for j, (total, _) in ways.items()}
            steps.append({j: key for j, (_, key) in ways.items()})
        end = min(reached, key=lambda j: reached[j])
        total, path = reached[end], []
        for step in reversed(steps):
            path.append(step[end])
            end = step[end][1]
        return total, path[::-1]

    def join(self, path: list[Key]) -> Schedule:
        """The schedule that the arcs of `path` make up."""
        options = [self.dag.options[0][path[0][1]]]
        starts = [0]
        for key in path:
            part = self.arcs[key].schedule
            finish = starts[-1] + options[-1].length
            options += part.options[1:]
            starts += [finish + start for start in part.starts[1:]]
        return Schedule(tuple(options), tuple(starts))


def solve(problem: Problem, *, limit: float = DEFAULT_LIMIT) -> Placement:
    """Optimal if `limit` (see hetpart.partition.budget) allows; else feasible, with the gap that is left."""
    instance = Instance.of(problem)
    chain = Chain(without_implied_edges(instance.dag))
    budget = Budget(limit)
    while budget:
        lower, path = chain.shortest(lambda arc: arc.lower)
        upper, best = chain.shortest(lambda arc: arc.upper)
        candidates = [key for key in dict.fromkeys((*path, *best)) if chain.arcs[key].open]
        if lower == upper or not candidates:
            break
        arc = chain.arcs[min(candidates, key=lambda key: chain.arcs[key].effort)]
        # No path through the arc is shorter than `lower`: if the arc itself takes that much more, none beats `upper`.
        arc.refine(arc.lower + upper - lower, budget)
    lower, _ = chain.shortest(lambda arc: arc.lower)
    _, best = chain.shortest(lambda arc: arc.upper)
    found = instance.placement("ilp", tidy(instance.dag, chain.join(best)), lower)
    choice = _choice(found, baselines(problem))
    status = "optimal" if choice.makespan_us == lower else "feasible"
    return replace(choice, strategy="ilp", lower_bound_us=lower, status=status)


def _choice(found: Placement, beside: dict[str, Placement]) -> Placement:
    """The shortest placement; of equally short ones that with the fewest transfers, one processor alone first."""
    single = [placement for name, placement in beside.items() if name != "heft"]
    return min(
        [*single, found, *beside.values()], key=lambda placement: (placement.makespan_us, len(placement.transfers))
    )


def _start(dag: Dag) -> Schedule:
    """The best schedule that takes no search."""
    everywhere = range(dag.places)
    preferring = [best_list_schedule(dag.preferring([first, *everywhere])) for first in everywhere]
    return min([best_list_schedule(dag), *preferring], key=lambda schedule: schedule.makespan)
