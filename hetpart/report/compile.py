"""What `hetpart compile` decided and what came of it, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from hetpart.compiler import Decision
from hetpart.formulate import with_transfers_at
from hetpart.partition import explain
from hetpart.report.quantities import duration
from hetpart.targets.schema import OpenclCodegen, Percentile, Processor

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
        energy_mj: `cost_us` times the power of its processor, an estimate in millijoules; None where that is not known.
    """

    name: str
    nodes: tuple[str, ...]
    op: str
    processor: str | None
    reason: str
    cost_us: float
    origin: str
    memory: str = ""
    energy_mj: float | None = None


@dataclass(frozen=True)
class MeasuredUnits:
    """How many units of a plan have measured times: `here` where they were placed, `everywhere` on all processors.

    `units` counts those that move data; `missing` names (at most 20 of) those whose time in the plan is an estimate.
    """

    units: int
    here: int
    everywhere: int
    missing: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """E.g. ``times of 57 of 57 units are measured``."""
        if not self.here:
            return "times are estimated"
        text = f"times of {self.here} of {self.units} units are measured"
        if self.here < self.units:
            text += ", the others estimated"
        if self.everywhere < self.units:
            text += f"; {self.units - self.everywhere} units were compared with estimates on other processors"
        return text


@dataclass
class CompileReport:
    """The result of a compilation; times in microseconds, predicted unless said otherwise.

    Attributes:
        makespan_us: the plan's latency; where two processors compute at once, they slow each other down.
        uncontended_us: the same without that. It is what the solver minimises, so `lower_bound_us` and `gap` are of it.
        forecast: the latency with all transfers at their ``p5_us``, ``median_us`` and ``p95_us``.
        transfers: how many tensors cross between processors, and what that takes in all, likewise.
        baselines_us: by strategy, as `makespan_us`.
        competing: busy threads of other processes that were planned for.
        energy_mj: sum over the units, an estimate; None if a used processor's power is not known. Where two processors
            compute at once, what the phone uses besides is in both, so that it is rather too high.
        compression: what lossy passes did and what is known of the accuracy; None if there were none.
        long_us: predicted time of launches that are above the target's `max_kernel_us` and cannot be cut further, by
            unit or copy.
    """

    target: str
    precision: str
    strategy: str
    status: str
    makespan_us: int
    uncontended_us: int
    lower_bound_us: int
    gap: float
    baselines_us: dict[str, int]
    forecast: dict[str, int]
    transfers: dict[str, int]
    competing: int
    energy_mj: float | None
    verdict: str
    units: tuple[UnitRow, ...]
    passes: tuple[dict[str, Any], ...]
    measured: MeasuredUnits
    compression: dict[str, Any] | None = None
    compression_text: tuple[str, ...] = ()
    long_us: dict[str, float] = field(default_factory=dict)
    verify: dict[str, Any] = field(default_factory=lambda: {"how": "not verified", "outputs": {}})
    seconds: dict[str, float] = field(default_factory=dict)
    output: str = ""
    bundle_bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"schema": 1, **asdict(self)}


def compile_report(decision: Decision, seconds: Mapping[str, float]) -> CompileReport:
    """The report of a decision, before code is generated."""
    placement = decision.placement
    forecasts = decision.forecasts
    baselines = {name: each.median_us for name, each in forecasts.baselines.items()}
    units = _rows(decision)
    energies = [row.energy_mj for row in units if row.processor is not None]
    return CompileReport(
        target=decision.target.name,
        precision=decision.precision,
        strategy=placement.strategy,
        status=placement.status,
        makespan_us=forecasts.plan.median_us,
        uncontended_us=placement.makespan_us,
        lower_bound_us=placement.lower_bound_us,
        gap=placement.gap,
        baselines_us=baselines,
        forecast=asdict(forecasts.plan),
        transfers=_transfers(decision),
        competing=decision.competing,
        energy_mj=None if None in energies else round(sum(each for each in energies if each is not None), 2),
        verdict=_verdict(decision, baselines),
        units=units,
        passes=tuple(asdict(record) for record in decision.records),
        measured=measured_units(decision),
        compression=None if decision.compression is None else decision.compression.to_json(),
        compression_text=() if decision.compression is None else tuple(decision.compression.lines()),
        seconds=dict(seconds),
    )


def measured_units(decision: Decision) -> MeasuredUnits:
    """Counts measured times in a decision."""
    modes = decision.placement.modes
    placed = {unit: row[modes[unit].processor].origin == "measured" for unit, row in decision.costs.items()}
    missing = [unit for unit, measured in placed.items() if not measured]
    everywhere = sum(all(cost.origin == "measured" for cost in row.values()) for row in decision.costs.values())
    return MeasuredUnits(len(placed), len(placed) - len(missing), everywhere, tuple(missing[:_NAMED]))


_NAMED = 20


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
        energy_mj = _energy_mj(decision.target.processor(processor), cost.latency_us)
        rows.append(UnitRow(unit.name, nodes, unit.op, processor, reason, us, cost.origin, memory, energy_mj))
    return tuple(rows)


def _energy_mj(processor: Processor, us: float) -> float | None:
    watts = processor.cost.power_w if processor.cost is not None else 0.0
    return round(us * watts / 1e3, 3) if watts else None


def _memory(decision: Decision, unit: str) -> str:
    """The kind of memory that a unit works in, where its processor has more than one."""
    mode = decision.placement.modes[unit]
    codegen = decision.target.processor(mode.processor).codegen
    if not isinstance(codegen, OpenclCodegen) or not codegen.private:
        return ""
    if not mode.private:
        return "buffer"
    return "image" if codegen.memory == "image" else "half"


def _transfers(decision: Decision) -> dict[str, int]:
    """How many tensors cross, and the sum of their delays at each percentile; conversions of memory included."""
    modes = decision.placement.modes
    crossings = {
        (modes[tensor.producer].place, modes[consumer].place, tensor.name): tensor.size_bytes
        for tensor in decision.problem.tensors
        for consumer in tensor.consumers
        if modes[consumer].processor != modes[tensor.producer].processor
    }
    found = {"count": len(decision.placement.transfers)}
    for percentile in get_args(Percentile):
        day = with_transfers_at(percentile, decision.problem, decision.target)
        found[f"{percentile}_us"] = sum(day.transfer_us(a, b, size) for (a, b, _), size in crossings.items())
    return found


def _verdict(decision: Decision, baselines: Mapping[str, int]) -> str:
    """Says in words how the plan compares with one processor alone."""
    used = " + ".join(
        sorted(
            {
                decision.placement.modes[unit].processor
                for unit in decision.costs
                if decision.placement.modes[unit].length_us
            }
        )
    )
    makespan = decision.forecasts.plan.median_us
    single = {name: us for name, us in baselines.items() if name != "heft"}
    if not single:
        return f"{used}; no single processor can run the whole model"
    best = min(single, key=lambda name: (single[name], name))
    if makespan > single[best]:
        return f"{used}: {100 * (makespan / single[best] - 1):.1f} % longer than {best} alone (predicted)"
    if (refused := decision.forecasts.refused) is not None:
        lost = f"{duration(refused.median_us)}, {duration(refused.p95_us)} with slow transfers (p95)"
        found = "one processor alone is best" if "+" not in used else "a plan with fewer risks is best"
        return f"{found}: {used}; what is shorter without contention would take {lost} (predicted)"
    if "+" not in used:
        return f"one processor alone is best: {used} (predicted)"
    return f"{used}: {100 * (1 - makespan / single[best]):.1f} % shorter than {best} alone (predicted)"
