"""Where each allocation lies in the arena.

Two allocations may share bytes only if every step that touches one happens before every step that touches the other,
whatever the timing: the order comes from each processor's list and from the waits, never from predicted times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ALIGNMENT = 128
"""Bytes: OpenCL's CL_DEVICE_MEM_BASE_ADDR_ALIGN, and at least one cache line."""


@dataclass(frozen=True)
class Allocation:
    """A stretch of the arena.

    Attributes:
        name: of the value or scratch that owns it.
        size: bytes.
        steps: indices of the steps that touch it.
        exclusive: shares with nobody (model inputs and outputs, which the application touches between runs).
    """

    name: str
    size: int
    steps: tuple[int, ...]
    exclusive: bool = False


def place(allocations: Sequence[Allocation], later: Sequence[int]) -> tuple[dict[str, int], int]:
    """Offsets by name, and the arena's size in bytes.

    First fit, large ones first: within a few percent of the lower bound on convolutional networks.

    Args:
        allocations: names are unique.
        later: for each step the set (as a bit mask) of the steps that happen after it in every execution.
    """
    masks = {a.name: _mask(a.steps) for a in allocations}
    after = {a.name: _all_after(a.steps, later) for a in allocations}
    offsets: dict[str, int] = {}
    placed: list[Allocation] = []
    for item in sorted(allocations, key=lambda a: (-a.size, a.name)):
        taken = sorted(
            (offsets[other.name], offsets[other.name] + other.size)
            for other in placed
            if item.exclusive or other.exclusive or not _ordered(item, other, masks, after)
        )
        offset = 0
        for start, end in taken:
            if offset + item.size <= start:
                break
            offset = max(offset, -(-end // ALIGNMENT) * ALIGNMENT)
        offsets[item.name] = offset
        placed.append(item)
    end = max((offsets[a.name] + a.size for a in allocations), default=0)
    return offsets, -(-end // ALIGNMENT) * ALIGNMENT


def _mask(steps: Sequence[int]) -> int:
    mask = 0
    for step in steps:
        mask |= 1 << step
    return mask


def _all_after(steps: Sequence[int], later: Sequence[int]) -> int:
    """The steps that happen after all of `steps`."""
    common = -1
    for step in steps:
        common &= later[step]
    return common


def _ordered(a: Allocation, b: Allocation, masks: Mapping[str, int], after: Mapping[str, int]) -> bool:
    return masks[b.name] & ~after[a.name] == 0 or masks[a.name] & ~after[b.name] == 0
