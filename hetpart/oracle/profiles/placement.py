"""Where an engine puts the operators that its accelerator supports. Four rules are published:

any       every supported operator
follow    supported operators that compute much (the engine's anchors), and others behind a producer that is there
whole     all or nothing
largest   supported operators in partitions as large as they go, of which the largest few are handed over
"""

from __future__ import annotations

from collections.abc import Sequence

from hetpart.oracle.profiles.convert import EngineOp
from hetpart.oracle.profiles.profile import Profile


def accelerated(ops: Sequence[EngineOp], supported: Sequence[bool], profile: Profile) -> list[bool]:
    """Per operator, in topological order, whether the engine hands it to the accelerator."""
    if profile.placement == "whole":
        return [all(supported)] * len(ops)
    if profile.placement == "follow":
        return _follow(ops, supported, profile.engine.anchors)
    if profile.placement == "largest":
        return _largest(ops, supported, profile.partitions)
    return list(supported)


def producers(ops: Sequence[EngineOp]) -> list[set[int]]:
    """Per operator the indices of those whose outputs it reads."""
    maker = {id(value): index for index, op in enumerate(ops) for value in op.outputs()}
    return [{maker[id(value)] for value in op.inputs() if id(value) in maker} for op in ops]


def _follow(ops: Sequence[EngineOp], supported: Sequence[bool], anchors: frozenset[str]) -> list[bool]:
    there: list[bool] = []
    for op, can, before in zip(ops, supported, producers(ops), strict=True):
        there.append(can and (not anchors.isdisjoint(op.operators) or any(there[index] for index in before)))
    return there


def _largest(ops: Sequence[EngineOp], supported: Sequence[bool], limit: int) -> list[bool]:
    """TensorFlow Lite's partitions: of what is ready, take all of one kind until none is left, then the other kind."""
    before = producers(ops)
    waiting = list(range(len(ops)))
    done: set[int] = set()
    parts: list[list[int]] = []
    while waiting:
        kind = supported[next(index for index in waiting if before[index] <= done)]
        part: list[int] = []
        for index in waiting:
            if supported[index] == kind and before[index] <= done:
                done.add(index)
                part.append(index)
        if kind:
            parts.append(part)
        waiting = [index for index in waiting if index not in done]
    parts.sort(key=len, reverse=True)
    chosen = {index for part in parts[: limit or None] for index in part}
    return [index in chosen for index in range(len(ops))]
