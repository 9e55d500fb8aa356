"""How the blocks of a `ChannelsSpec`'s output are made of blocks of its inputs, for code that should stay short.

Each block has a pattern: which lane of which block goes to each of its lanes. Neighbouring blocks mostly repeat one or
a few patterns with their sources moved on, so they are described together, and generators write one loop for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from hetpart.errors import InternalError
from hetpart.kernels.spec import ChannelsSpec

Lane = tuple[int, int, int]
"""Number of the input, its channel block, the lane there."""

Pattern = tuple[Lane | None, ...]
"""One block of the output; None is a spare lane."""

PERIODS = (1, 2, 4, 8)
"""How many patterns may take turns: those of shuffles in so many groups, and fractions of a block."""


@dataclass(frozen=True)
class Run:
    """Neighbouring blocks of the output.

    Block ``first + i`` is ``patterns[i % len(patterns)]`` with all sources ``i // len(patterns) * advance`` blocks
    further on.
    """

    first: int
    count: int
    advance: int
    patterns: tuple[Pattern, ...]


def runs(spec: ChannelsSpec) -> tuple[Run, ...]:
    """All blocks of the output, in order."""
    blocks = _patterns(spec)
    found: list[Run] = []
    first = 0
    while first < len(blocks):
        best = max((_run(blocks, first, period) for period in PERIODS), key=lambda run: run.count)
        found.append(best)
        first += best.count
    return tuple(found)


def check(spec: ChannelsSpec) -> None:
    """Raise InternalError where layouts or channels do not fit."""
    out = spec.out
    fits = len(spec.picks) == out.c and all(
        (x.n, x.h, x.w, x.dtype) == (out.n, out.h, out.w, out.dtype) for x in spec.xs
    )
    if not fits or not all(0 <= i < len(spec.xs) and 0 <= c < spec.xs[i].c for i, c in spec.picks):
        raise InternalError("kernel-layout", f"cannot choose channels of {spec.xs} for {out}")


def _patterns(spec: ChannelsSpec) -> list[Pattern]:
    size = spec.out.block
    lanes: list[Lane | None] = [(i, c // spec.xs[i].block, c % spec.xs[i].block) for i, c in spec.picks]
    lanes += [None] * (-len(lanes) % size)
    return [tuple(lanes[start : start + size]) for start in range(0, len(lanes), size)]


def _run(blocks: list[Pattern], first: int, period: int) -> Run:
    """The longest run from `first` on with this period; a single block where the patterns do not even come twice."""
    patterns = tuple(blocks[first : first + period])
    following = blocks[first + period] if first + period < len(blocks) else (None,)
    if patterns[0][0] is None or following[0] is None:
        return Run(first, 1, 0, patterns[:1])
    advance = following[0][1] - patterns[0][0][1]
    count = 0
    while first + count < len(blocks):
        turn, number = divmod(count, period)
        if number >= len(patterns) or blocks[first + count] != moved(patterns[number], turn * advance):
            break
        count += 1
    return Run(first, count, advance, patterns) if count >= 2 * period else Run(first, 1, 0, patterns[:1])


def moved(pattern: Pattern, blocks: int) -> Pattern:
    """`pattern` with all sources so many blocks further on."""
    return tuple(None if lane is None else (lane[0], lane[1] + blocks, lane[2]) for lane in pattern)
