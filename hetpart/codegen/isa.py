"""Instruction set and triples of a target's CPU."""

from __future__ import annotations

from dataclasses import replace

from hetpart.errors import InternalError
from hetpart.kernels.isa import Isa
from hetpart.targets.schema import CpuCodegen, Target


def target_isa(target: Target) -> Isa:
    """What the CPU kernels of `target` are compiled for.

    One object serves all triples of a target: they differ in the C library, which kernels do not use.
    """
    options = _options(target)
    if options.native:
        from hetpart.kernels.cpu.build import host_isa

        return replace(host_isa(), l2_bytes=options.l2_bytes)
    return Isa(options.triples[0], options.mcpu, options.mattr, options.lanes, options.registers, options.l2_bytes)


def triples(target: Target) -> tuple[str, ...]:
    """The triples that the bundle holds modules for."""
    options = _options(target)
    return (target_isa(target).triple,) if options.native else options.triples


def _options(target: Target) -> CpuCodegen:
    options = target.host.codegen
    if not isinstance(options, CpuCodegen):
        raise InternalError("no-cpu", f"the first processor of target {target.name} is not a CPU")
    return options
