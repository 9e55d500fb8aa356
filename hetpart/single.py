"""A whole model on one processor of a target, as the target's cost table has it.

For targets without published latencies: this machine, a file of the user's, a chip that nobody measured. What the
table is worth is not known, so there is no error band; `hetpart profile` measures instead.
"""

from __future__ import annotations

from hetpart.compiler import assess, in_half
from hetpart.cost.phones import CHIPS, Setting
from hetpart.cost.predict import OWN, Prediction
from hetpart.errors import HetpartError
from hetpart.graph.units import UnitGraph
from hetpart.phases import Phases
from hetpart.targets.schema import Processor, Target


def estimate_latency(graph: UnitGraph, target: Target, setting: Setting) -> Prediction:
    """The sum of all units on the processor of `setting`, layout changes included.

    Units that the processor cannot run are named in `left_out` and not counted.

    Raises:
        HetpartError: ``unknown-processor``, ``no-costs``; ``unknown-engine``, ``unknown-dtype``, ``bad-threads`` or
            ``bad-option`` for what the table does not tell; ``left-out`` if the processor runs no unit at all.
    """
    processor = target.processor(setting.processor)
    _check(setting, target, processor, quantised=any(unit.quantised is not None for unit in graph))
    half = setting.dtype == "fp16"
    found = assess(graph, in_half(target) if half else target, Phases(), half=half)
    moving = [unit for unit in found.assignment.graph if unit.name not in found.assignment.free]
    costs = {unit.name: found.costs[unit.name].get(processor.name) for unit in moving}
    left_out = tuple(name for name, cost in costs.items() if cost is None)
    if len(left_out) == len(moving):
        raise HetpartError("left-out", f"no operator of this model runs on {processor.name} of {target.name}")
    parts: dict[str, float] = {}
    for cost in costs.values():
        if cost is not None:
            parts[cost.kernel_class] = parts.get(cost.kernel_class, 0.0) + cost.latency_us
    total_us = sum(parts.values())
    shares = {name: us / total_us for name, us in sorted(parts.items(), key=lambda item: -item[1])}
    return Prediction(
        setting, OWN, total_us, None, None, "", shares, f"no published latency of {target.name}", "cost-table", left_out
    )


def _check(setting: Setting, target: Target, processor: Processor, *, quantised: bool) -> None:
    if processor.cost is None:
        raise HetpartError("no-costs", f"target {target.name} states no costs for {processor.name}")
    about = f"{target.name} has no published latencies, only a cost table"
    if setting.engine != OWN:
        raise HetpartError("unknown-engine", f"{about}, which is of hetpart's kernels, not of {setting.engine}'s")
    if processor.kind == "cpu" and setting.threads != processor.threads:
        raise HetpartError(
            "bad-threads", f"{about}, which is for {processor.threads} threads, not {setting.threads}",
            hint="leave --threads out" + (", or name an --engine to extrapolate" if target.name in CHIPS else ""),
        )  # fmt: skip
    if setting.memory:
        raise HetpartError("bad-option", f"{about}: where its GPU's maps lie is written in the target file")
    dtypes = ("int8",) if quantised else ("fp32", "fp16")
    if setting.dtype not in dtypes:
        raise HetpartError(
            "unknown-dtype", f"{about}, which tells of this model in {' or '.join(dtypes)}, not in {setting.dtype}",
            hint="for int8 give a quantised model" if setting.dtype == "int8" else None,
        )  # fmt: skip
