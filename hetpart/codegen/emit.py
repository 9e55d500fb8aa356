"""Placements -> plans, constants and modules, for one instruction set and one OpenCL device."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from hetpart.codegen.cache import KernelCache
from hetpart.codegen.cpu import CpuModule
from hetpart.codegen.opencl import OpenclModule, device_of
from hetpart.codegen.parts import Cut, cut
from hetpart.errors import InternalError
from hetpart.graph.assign import Assignment
from hetpart.kernels.isa import Isa
from hetpart.kernels.select import select
from hetpart.plan.build import build_plan
from hetpart.plan.check import check_plan
from hetpart.plan.invocation import Invocation
from hetpart.plan.placed import Placed
from hetpart.plan.plan import Plan
from hetpart.plan.private import Borders, Copy, find_borders
from hetpart.plan.weights import Weights
from hetpart.targets.schema import OpenclCodegen, Processor, Target


@dataclass(frozen=True)
class Emission:
    """Code and data of a bundle.

    Attributes:
        plans: by variant name; each was checked.
        weights: constants of all plans.
        objects: relocatable CPU objects, one per kernel, sorted by symbol.
        symbols: kernels in `objects`, in the order of first use.
        kernels_cl: OpenCL C source, empty if no plan uses the GPU.
        long_us: predicted time of launches above the target's bound (see hetpart.codegen.parts), by unit or copy.
    """

    plans: dict[str, Plan]
    weights: Weights
    objects: list[bytes]
    symbols: list[str]
    kernels_cl: str
    long_us: dict[str, float]


def emit(
    assignment: Assignment,
    placements: Mapping[str, Placed],
    target: Target,
    isa: Isa,
    cache: KernelCache,
    *,
    observe: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Emission:
    """Generates everything that the placements (by variant name) need.

    Args:
        assignment: units with layouts.
        placements: where and when, by variant name.
        target: its OpenCL options shape the GPU kernels.
        isa: what the CPU kernels are compiled for.
        cache: of compiled kernels.
        observe: values that the plans keep and offer as outputs.
        progress: told (done, total) of the kernels that have to be compiled.
        workers: processes that compile; None: one per core.

    Raises:
        HetpartError: for an operator without a correct kernel.
    """
    kinds = {p.name: p.kind for p in target.processors}
    modules: dict[str, CpuModule | OpenclModule] = {}
    cpu = CpuModule(isa, cache, workers)
    gpu_sources = []
    for processor in target.processors:
        if processor.kind == "cpu":
            modules[processor.name] = cpu
        elif isinstance(processor.codegen, OpenclCodegen):
            modules[processor.name] = OpenclModule(device_of(processor.codegen))
            gpu_sources.append(modules[processor.name])
    weights = Weights()
    plans = {}
    long_us: dict[str, float] = {}
    for variant, placed in placements.items():
        borders = _borders(assignment, placed, target, tuple(observe))
        invocations: dict[str, list[Invocation]] = {}
        for unit in assignment.graph:
            if calls := select(unit, assignment):
                module = modules[placed.processor[unit.name]]
                if unit.name in placed.private and isinstance(module, OpenclModule):
                    invocations[unit.name] = [i for call in calls for i in module.lower(call, borders.layouts)]
                else:
                    invocations[unit.name] = [i for call in calls for i in module.lower(call)]
                processor = target.processor(placed.processor[unit.name])
                launches = cut(invocations[unit.name], processor, placed.duration_us[unit.name])
                invocations[unit.name] = launches.calls
                if launches.over_us:
                    long_us[unit.name] = launches.over_us
            elif unit.name not in assignment.free:
                raise InternalError("no-kernel-call", "a unit that moves data has no kernel", node=unit.name)
        used = {name: kinds[name] for name in kinds if name in placed.processor.values() or name == target.host.name}
        copies = _copies(borders, assignment, target, modules)
        long_us |= {copy.unit: launches.over_us for copy, (launches, _) in copies.items() if launches.over_us}
        plans[variant] = build_plan(
            assignment, placed, invocations, used, target.host.name, weights, observe, borders,
            {copy: (launches.calls, us) for copy, (launches, us) in copies.items()},
        )  # fmt: skip
    # only now it is known how long the constants file is, which the variants share
    size_bytes = weights.size_bytes
    threads = {p.name: p.threads for p in target.processors}
    for variant, plan in plans.items():
        used_threads = {name: threads[name] for name in plan.processors}
        plans[variant] = replace(plan, weights_bytes=size_bytes, threads=used_threads)
    for plan in plans.values():
        check_plan(plan)
    source = "\n".join(m.source for m in gpu_sources if isinstance(m, OpenclModule))
    return Emission(plans, weights, cpu.objects(progress), cpu.symbols, source, long_us)


def _borders(assignment: Assignment, placed: Placed, target: Target, observe: tuple[str, ...]) -> Borders:
    codegen = _private_processor(target).codegen if placed.private else None
    if not isinstance(codegen, OpenclCodegen):
        return Borders()
    return find_borders(assignment, placed, codegen.memory, codegen.storage, observe)


def _copies(
    borders: Borders, assignment: Assignment, target: Target, modules: Mapping[str, CpuModule | OpenclModule]
) -> dict[Copy, tuple[Cut, int]]:
    """The launches of every copy at the border of private memory, and their predicted time."""
    priced: dict[Copy, tuple[Cut, int]] = {}
    for copy in borders.copies:
        processor = _private_processor(target)
        module, cost = modules[processor.name], processor.cost
        if not isinstance(module, OpenclModule) or cost is None:
            raise InternalError("target-kind", f"{processor.name} has no private memory")
        size_bytes = assignment.layouts[copy.value].size_bytes
        us = math.ceil(cost.convert_us(size_bytes))
        priced[copy] = cut([module.copy(copy, assignment, borders.layouts)], processor, us), us
    return priced


def _private_processor(target: Target) -> Processor:
    for processor in target.processors:
        if isinstance(processor.codegen, OpenclCodegen) and processor.codegen.private:
            return processor
    raise InternalError("target-kind", f"no processor of {target.name} has private memory")
