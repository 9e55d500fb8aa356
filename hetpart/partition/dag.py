"""The index form of a problem that all strategies compute on.

A `Dag` has one source (node 0), one sink (the last node) and its nodes are in topological order. It is a value: two
stretches of a network with the same structure and costs are equal, which is what lets solutions be reused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

Delay = tuple[tuple[int, ...], ...]
"""``delay[p][q]``: microseconds from the finish of a producer on p until a consumer on q may start."""


class Option(NamedTuple):
    """A mode: where the result is made, the time to its finish, and the processors it holds, each for how long.

    A place is a processor, by its number, or the private memory of one, by a higher number; nothing is held there.
    """

    processor: int
    length: int
    uses: tuple[tuple[int, int], ...]


class Schedule(NamedTuple):
    """The option and the start of every node of a `Dag`."""

    options: tuple[Option, ...]
    starts: tuple[int, ...]

    def finish(self, node: int) -> int:
        return self.starts[node] + self.options[node].length

    @property
    def makespan(self) -> int:
        """When the sink finishes, which is last."""
        return self.finish(-1)

    def order(self) -> list[int]:
        """All nodes by start: a topological order that keeps every processor's sequence."""
        return sorted(range(len(self.starts)), key=lambda node: (self.starts[node], node))


class Proof(NamedTuple):
    """The best schedule known and a lower bound of the makespan; optimal if they meet."""

    schedule: Schedule
    lower_bound: int


@dataclass(frozen=True)
class Dag:
    """Nodes by index, each with its options; edges ``(node, later node, delay)``, sorted, one per pair of nodes.

    `processors` is how many can be held.
    """

    processors: int
    options: tuple[tuple[Option, ...], ...]
    edges: tuple[tuple[int, int, Delay], ...]

    def __len__(self) -> int:
        return len(self.options)

    @cached_property
    def places(self) -> int:
        """How many places an option may be at."""
        return max(self.processors, *(option.processor + 1 for options in self.options for option in options))

    @cached_property
    def predecessors(self) -> list[list[tuple[int, Delay]]]:
        into: list[list[tuple[int, Delay]]] = [[] for _ in self.options]
        for source, target, delay in self.edges:
            into[target].append((source, delay))
        return into

    @cached_property
    def successors(self) -> list[list[tuple[int, Delay]]]:
        out: list[list[tuple[int, Delay]]] = [[] for _ in self.options]
        for source, target, delay in self.edges:
            out[source].append((target, delay))
        return out

    def restricted(self, options: Mapping[int, Option]) -> Dag:
        """The same graph with only the given option left at the given nodes."""
        kept = tuple((options[v],) if v in options else each for v, each in enumerate(self.options))
        return Dag(self.processors, kept, self.edges)

    def preferring(self, processors: Sequence[int]) -> Dag:
        """The same graph with one option left everywhere: on the first of `processors` that has one."""
        kept = tuple((min(options, key=lambda option: processors.index(option.processor)),) for options in self.options)
        return Dag(self.processors, kept, self.edges)

    def ready(self, node: int, processor: int, options: Sequence[Option], starts: Sequence[int]) -> int:
        """When everything that `node` reads is on `processor`, given all of its predecessors."""
        latest = 0
        for u, delay in self.predecessors[node]:
            made = options[u]
            latest = max(latest, starts[u] + made.length + delay[made.processor][processor])
        return latest

    def serial(self, options: Sequence[Option], order: Iterable[int]) -> Schedule:
        """Every node as early as possible, in the given topological order, never overtaking on a processor."""
        free = [0] * self.processors
        starts = [0] * len(self)
        for node in order:
            option = options[node]
            start = self.ready(node, option.processor, options, starts)
            for processor, _ in option.uses:
                start = max(start, free[processor])
            for processor, duration in option.uses:
                free[processor] = start + duration
            starts[node] = start
        return Schedule(tuple(options), tuple(starts))
