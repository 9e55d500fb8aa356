"""Lower bounds that need no search: the longest path with modes chosen freely on the way, and the load to be shared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hetpart.partition.dag import Dag, Option

_SHARES = 12
"""The load bound tries prices for the processors in steps of 1 / 12: 13 combinations for two, 91 for three."""


def heads(dag: Dag) -> list[list[int]]:
    """``heads[v][i]``: node v cannot start earlier in its i-th option (path bound)."""
    earliest: list[list[int]] = []
    for v, options in enumerate(dag.options):
        row = []
        for option in options:
            bound = 0
            for u, delay in dag.predecessors[v]:
                arrivals = (
                    earliest[u][j] + made.length + delay[made.processor][option.processor]
                    for j, made in enumerate(dag.options[u])
                )
                bound = max(bound, min(arrivals))
            row.append(bound)
        earliest.append(row)
    return earliest


def tails(dag: Dag) -> list[list[int]]:
    """``tails[v][i]``: from the finish of node v in its i-th option to the finish of the sink (path bound)."""
    remaining: list[list[int]] = [[] for _ in dag.options]
    for v in reversed(range(len(dag))):
        for option in dag.options[v]:
            bound = 0
            for w, delay in dag.successors[v]:
                rests = (
                    delay[option.processor][reader.processor] + reader.length + remaining[w][j]
                    for j, reader in enumerate(dag.options[w])
                )
                bound = max(bound, min(rests))
            remaining[v].append(bound)
    return remaining


def reach(dag: Dag) -> list[int]:
    """``reach[v]``: the nodes to which a path leads from v, as a bit mask."""
    after = [0] * len(dag)
    for v in reversed(range(len(dag))):
        for w, _ in dag.successors[v]:
            after[v] |= after[w] | 1 << w
    return after


def margins(dag: Dag, head: list[list[int]], tail: list[list[int]]) -> list[int]:
    """Per processor: the time before its first and after its last use that is lost in every schedule.

    Valid whether or not the processor is used at all, because it never exceeds what the sink alone needs.
    """
    floor = min(start + sink.length for start, sink in zip(head[-1], dag.options[-1], strict=True))
    before = [floor] * dag.processors
    after = [floor] * dag.processors
    for v, options in enumerate(dag.options):
        for i, option in enumerate(options):
            for processor, duration in option.uses:
                before[processor] = min(before[processor], head[v][i])
                after[processor] = min(after[processor], option.length - duration + tail[v][i])
    return [min(floor, b + a) for b, a in zip(before, after, strict=True)]


def lower_bound(dag: Dag, head: list[list[int]] | None = None, tail: list[list[int]] | None = None) -> int:
    """No schedule of `dag` is shorter than this, in microseconds."""
    head = heads(dag) if head is None else head
    tail = tails(dag) if tail is None else tail
    longest = max(
        min(start + option.length + rest for start, option, rest in zip(head[v], options, tail[v], strict=True))
        for v, options in enumerate(dag.options)
    )
    return max(longest, _load(dag, margins(dag, head, tail)))


def load_prices(dag: Dag, count: int) -> list[tuple[int, ...]]:
    """The `count` price vectors that make the work of `dag` most expensive; each adds up to the same total."""
    demands = Counter(dag.options)

    def total(price: tuple[int, ...]) -> int:
        return sum(number * least_price(options, price) for options, number in demands.items())

    return sorted(_prices(dag.processors, _SHARES), key=total, reverse=True)[:count]


def least_price(options: tuple[Option, ...], price: tuple[int, ...]) -> int:
    """What the cheapest option costs if a microsecond of processor p costs ``price[p]``."""
    return min(sum(price[processor] * time for processor, time in option.uses) for option in options)


def _load(dag: Dag, margin: list[int]) -> int:
    """Lagrangian bound: the makespan is at least what all work costs, at prices of the processors that add up to 1.

    A processor's busy time plus its margin never exceeds the makespan; a price-weighted mean of these does not either.
    """
    demands = Counter(dag.options)
    best = 0
    for price in _prices(dag.processors, _SHARES):
        total = sum(p * m for p, m in zip(price, margin, strict=True))
        total += sum(number * least_price(options, price) for options, number in demands.items())
        best = max(best, -(-total // _SHARES))
    return best


def _prices(processors: int, total: int) -> Iterator[tuple[int, ...]]:
    """All ways to split `total` among the processors."""
    if processors == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _prices(processors - 1, total - first):
            yield (first, *rest)
