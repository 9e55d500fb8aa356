"""Launches that are short enough for the GPU to draw the screen in between.

A GPU of a phone turns to other work between two launches, not within one. A target may bound what a launch is predicted
to take (`OpenclCodegen.max_kernel_us`); here a longer one becomes several, of whole work-groups, by global offset. What
they compute is the same, bit for bit: an item learns its place from its global id alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hetpart.plan.invocation import Invocation
from hetpart.targets.schema import OpenclCodegen, Processor

ROUNDED_UP_US = 2
"""A plan has whole microseconds: the launch and the rest, each rounded up. A kernel is not cut for those."""

EPSILON = 1e-9


@dataclass(frozen=True)
class Cut:
    """Launches that together do what one unit or copy does.

    Attributes:
        calls: in order.
        over_us: predicted time of the longest launch if that is above the target's bound, else 0. Such a launch is of
            a single work-group.
    """

    calls: list[Invocation]
    over_us: float = 0.0


def cut(calls: Sequence[Invocation], processor: Processor, latency_us: float) -> Cut:
    """`calls` in launches within the target's bound.

    Args:
        calls: kernel calls, in order; each takes a share of the time by its number of work-items.
        processor: where they run.
        latency_us: what they take in all, in a plan, with a launch for each part that `hetpart.cost.estimate` counted.
    """
    codegen, cost = processor.codegen, processor.cost
    if not isinstance(codegen, OpenclCodegen) or not codegen.max_kernel_us or cost is None:
        return Cut(list(calls))
    bound_us = codegen.max_kernel_us
    latency_us -= ROUNDED_UP_US
    parts_priced = math.ceil(latency_us / (bound_us + cost.launch_us) - EPSILON)
    busy_us = latency_us - cost.launch_us * parts_priced
    if parts_priced <= 1:
        return Cut(list(calls))
    group_us = busy_us / sum(math.prod(call.global_size) for call in calls)
    parts: list[Invocation] = []
    over_us = 0.0
    for call in calls:
        one_us = group_us * math.prod(call.local_size)
        most = math.floor(bound_us / one_us + EPSILON)
        parts += in_parts(call, most)
        over_us = max(over_us, one_us if most < 1 else 0.0)
    return Cut(parts, over_us)


def in_parts(call: Invocation, most: int) -> list[Invocation]:
    """`call` as launches of at most `most` work-groups, though at least one.

    It is cut along the axis that has the most groups, and along the others only where slices of one group are too many.
    """
    groups = [size // local for size, local in zip(call.global_size, call.local_size, strict=True)]
    total = math.prod(groups)
    if total <= max(1, most):
        return [call]
    axis = max(range(3), key=lambda a: groups[a])
    slices = max(1, most * groups[axis] // total)  # of one group along the axis, in one part
    count = -(-groups[axis] // slices)
    bounds = [groups[axis] * number // count * call.local_size[axis] for number in range(count + 1)]
    parts: list[Invocation] = []
    for first, last in itertools.pairwise(bounds):
        size, offset = list(call.global_size), list(call.offset)
        size[axis] = last - first
        offset[axis] += first
        part = replace(call, global_size=(size[0], size[1], size[2]), offset=(offset[0], offset[1], offset[2]))
        parts += in_parts(part, most)
    return parts
