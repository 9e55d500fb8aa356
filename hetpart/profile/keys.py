"""What a measured time belongs to: kernels, the options of a target that shape them, and the generators of their code.

Units of any model that compute the same thing in the same way have the same key; values of constants are not in it.
"""

from __future__ import annotations

import hashlib

from hetpart.codegen.cache import toolchain_digest
from hetpart.codegen.cpu import choice_tag
from hetpart.codegen.isa import target_isa
from hetpart.codegen.names import symbol_of
from hetpart.graph.assign import Assignment
from hetpart.kernels.select import select
from hetpart.targets.schema import Target

Kernels = dict[str, dict[str, str]]
"""Per unit that moves data and processor, the kernels that it runs there, as one word."""


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
