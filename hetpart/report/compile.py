"""What `hetpart compile` decided and what came of it, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hetpart.compiler import Decision
from hetpart.partition import explain
from hetpart.targets.schema import OpenclCodegen

NO_DATA_MOVED = "moves no data"


@dataclass(frozen=True)
class UnitRow:
    """One unit of the plan.

    Attributes:
        nodes: names of the ONNX nodes it covers; empty for a layout change that hetpart inserted.
        processor: where it runs; None if it moves no data.
        memory: ``image``, ``half`` (buffers of float16) or ``buffer`` on a processor that has private memory, else "".
        reason: why it runs there, and why not in private memory.
        cost_us: predicted time; `origin` says whether from an estimate or a measurement.
    """

    name: str
    nodes: tuple[str, ...]
    op: str
    processor: str | None
    reason: str
    cost_us: float
    origin: str
    memory: str = ""


@dataclass
class CompileReport:
    """The result of a compilation; times in microseconds, predicted unless said otherwise."""

    target: str
    strategy: str
    status: str
    makespan_us: int
    lower_bound_us: int
    gap: float
    baselines_us: dict[str, int]
    verdict: str
    units: tuple[UnitRow, ...]
    passes: tuple[dict[str, Any], ...]
    verify: dict[str, Any] = field(default_factory=lambda: {"how": "not verified", "outputs": {}})
    seconds: dict[str, float] = field(default_factory=dict)
    output: str = ""
    bundle_bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"schema": 1, **asdict(self)}


def compile_report(decision: Decision, seconds: Mapping[str, float]) -> CompileReport:
    """The report of a decision, before code is generated."""
    placement = decision.placement
    baselines = {name: other.makespan_us for name, other in decision.outcome.baselines.items()}
    return CompileReport(
        target=decision.target.name,
        strategy=placement.strategy,
        status=placement.status,
        makespan_us=placement.makespan_us,
        lower_bound_us=placement.lower_bound_us,
        gap=placement.gap,
        baselines_us=baselines,
        verdict=_verdict(decision, baselines),
        units=_rows(decision),
        passes=tuple(asdict(record) for record in decision.records),
        seconds=dict(seconds),
    )


def _rows(decision: Decision) -> tuple[UnitRow, ...]:
    assignment, placement = decision.assignment, decision.placement
    reasons = explain(decision.problem, placement)
    rows = []
    for unit in assignment.graph:
        nodes = tuple(node.name or "" for node in unit.nodes)
        if unit.name in assignment.free:
            rows.append(UnitRow(unit.name, nodes, unit.op, None, NO_DATA_MOVED, 0.0, "exact"))
            continue
        processor = placement.modes[unit.name].processor
        refused = [
            f"{name}: {verdict.reason}"
            for name, verdict in decision.verdicts[unit.name].items()
            if verdict.level == "unsupported" and name in decision.problem.processors
        ]
        memory = _memory(decision, unit.name)
        if memory == "buffer":
            refused.append(f"in a buffer: {decision.shared[unit.name][processor]}")
        reason = "; ".join((reasons[unit.name], *refused))
        cost = decision.costs[unit.name][processor]
        us = round(cost.latency_us, 1)
        rows.append(UnitRow(unit.name, nodes, unit.op, processor, reason, us, cost.origin, memory))
    return tuple(rows)


def _memory(decision: Decision, unit: str) -> str:
    """The kind of memory that a unit works in, where its processor has more than one."""
    mode = decision.placement.modes[unit]
    codegen = decision.target.processor(mode.processor).codegen
    if not isinstance(codegen, OpenclCodegen) or not codegen.private:
        return ""
    if not mode.private:
        return "buffer"
    return "image" if codegen.memory == "image" else "half"


def _verdict(decision: Decision, baselines: Mapping[str, int]) -> str:
    """Says in words how the plan compares with one processor alone."""
    used = " + ".join(sorted({mode.processor for mode in decision.placement.modes.values() if mode.length_us}))
    makespan = decision.placement.makespan_us
    single = {name: us for name, us in baselines.items() if name != "heft"}
    if not single:
        return f"{used}; no single processor can run the whole model"
    best = min(single, key=lambda name: (single[name], name))
    if makespan > single[best]:
        return f"{used}: {100 * (makespan / single[best] - 1):.1f} % longer than {best} alone (predicted)"
    if "+" not in used:
        return f"one processor alone is best: {used} (predicted)"
    return f"{used}: {100 * (1 - makespan / single[best]):.1f} % shorter than {best} alone (predicted)"
