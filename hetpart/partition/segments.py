"""Cuts a `Dag` into segments that meet in single nodes, after dropping the edges that can never matter.

*Implied edges.* An edge u -> w may be dropped if another path from u to w takes at least as long as the edge's delay,
whatever the modes of u and w. Most residual and dense connections, masks and early outputs are of this kind: their
tensor crosses while the main branch computes. The schedules of the smaller graph are the schedules of the whole.

*Cut nodes.* A node that lies on all paths from source to sink splits every schedule in two: all other nodes finish
before it starts or start after it finishes. In topological order it is a node that no edge jumps over.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from hetpart.partition.dag import Dag, Delay, Option


@dataclass(frozen=True)
class Segment:
    """The nodes ``first ... last`` of a graph, both cut nodes, as a graph of its own.

    Its source stands for the finish of `first` (options without length), its sink is `last`.
    """

    first: int
    last: int
    dag: Dag


def split(dag: Dag) -> list[Segment]:
    """All segments, in order; neighbours share their cut node."""
    cuts = []
    reach = 0
    for v in range(len(dag)):
        if reach <= v:
            cuts.append(v)
        reach = max([reach, *(w for w, _ in dag.successors[v])])
    return [_segment(dag, first, last) for first, last in pairwise(cuts)]


def _segment(dag: Dag, first: int, last: int) -> Segment:
    source = tuple(Option(option.processor, 0, ()) for option in dag.options[first])
    edges = [(u - first, w - first, delay) for u in range(first, last) for w, delay in dag.successors[u]]
    return Segment(first, last, Dag(dag.processors, (source, *dag.options[first + 1 : last + 1]), tuple(edges)))


def without_implied_edges(dag: Dag) -> Dag:
    """`dag` less the edges that its other edges imply."""
    predecessors = [dict(edges) for edges in dag.predecessors]
    for u, successors in enumerate(dag.successors):
        if len(successors) > 1:
            _drop_implied(dag, predecessors, u, successors[-1][0])
    edges = sorted((u, w, delay) for w, into in enumerate(predecessors) for u, delay in into.items())
    return Dag(dag.processors, dag.options, tuple(edges))


def _drop_implied(dag: Dag, predecessors: list[dict[int, Delay]], u: int, last: int) -> None:
    """Removes from `predecessors` the edges out of `u` that longer ways imply; `last` is u's last successor.

    ``wait[w][i][j]``: in its j-th option, w cannot start earlier after the finish of u in its i-th option.
    """
    wait: dict[int, list[list[int]]] = {}
    for w in range(u + 1, last + 1):
        middles = [(x, delay) for x, delay in predecessors[w].items() if x in wait]
        direct = predecessors[w].get(u)
        if not middles and direct is None:
            continue
        wait[w] = []
        implied = bool(middles)
        for i, maker in enumerate(dag.options[u]):
            row = []
            for reader in dag.options[w]:
                indirect = max((_way(wait[x][i], dag.options[x], reader, delay) for x, delay in middles), default=0)
                needed = direct[maker.processor][reader.processor] if direct is not None else 0
                implied = implied and indirect >= needed
                row.append(max(indirect, needed))
            wait[w].append(row)
        if implied:
            predecessors[w].pop(u, None)


def _way(wait: list[int], options: tuple[Option, ...], reader: Option, delay: Delay) -> int:
    """The least time until `reader` may start if the node before it starts, in each of its options, after `wait`."""
    return min(
        since + option.length + delay[option.processor][reader.processor]
        for since, option in zip(wait, options, strict=True)
    )
