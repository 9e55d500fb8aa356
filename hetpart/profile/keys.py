"""What a measured time belongs to: kernels, the options of a target that shape them, and the generators of their code.

Units of any model that compute the same thing in the same way have the same key; values of constants are not in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from hetpart.codegen.cache import toolchain_digest
from hetpart.codegen.cpu import choice_tag
from hetpart.codegen.isa import target_isa
from hetpart.codegen.names import symbol_of
from hetpart.graph.assign import Assignment
from hetpart.kernels.select import select
from hetpart.targets.schema import Target

Kernels = dict[str, dict[str, str]]
"""Per unit that moves data and processor, the kernels that it runs there, as one word."""

Unit = tuple[str, str]
"""Unit and processor."""


def toolchain() -> str:
    """Digest of the generators of CPU and GPU code."""
    return toolchain_digest("hetpart.kernels.opencl")


def target_digest(target: Target) -> str:
    """Digest of everything in a target that code depends on: not of its costs, which a profile replaces."""
    shaping = [target.block, *((p.name, p.kind, p.codegen, p.threads) for p in target.processors)]
    return hashlib.sha256(repr(shaping).encode()).hexdigest()[:16]


def unit_kernels(assignment: Assignment, target: Target) -> Kernels:
    """Names of kernels by unit and processor: the digests of their specs, those on the CPU with their tuned choice."""
    isa = target_isa(target)
    kernels: Kernels = {}
    for unit in assignment.graph:
        if unit.name in assignment.free:
            continue
        specs = [call.spec for call in select(unit, assignment)]
        plain = [symbol_of(spec) for spec in specs]
        chosen = [symbol_of(spec) + choice_tag(spec, isa) for spec in specs]
        kernels[unit.name] = {p.name: "+".join(chosen if p.kind == "cpu" else plain) for p in target.processors}
    return kernels


def unit_keys(
    assignment: Assignment, target: Target, shared: Mapping[str, Mapping[str, str]]
) -> dict[Unit, tuple[str, str]]:
    """Memory and kernels by unit and processor; `shared` is empty where a unit works in private memory."""
    return {
        (unit, processor): ("shared" if shared[unit][processor] else "private", kernels)
        for unit, row in unit_kernels(assignment, target).items()
        for processor, kernels in row.items()
    }


def identity(target: Target, keys: Mapping[Unit, tuple[str, str]]) -> dict[str, str]:
    """What has to be the same when times come back from a device: JSON."""
    return {
        "target": target.name,
        "target_digest": target_digest(target),
        "toolchain": toolchain(),
        "units": hashlib.sha256(repr(sorted(keys.items())).encode()).hexdigest()[:16],
    }
