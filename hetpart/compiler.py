"""The compiler on one page: every stage in order, from an ONNX model to a bundle.

Stage by stage, and where each lives:

    import_model   model file -> canonical ONNX model           hetpart.frontend, hetpart.passes
    fuse           model -> units                               hetpart.passes.fuse
    assign         units -> units with layouts                  hetpart.graph.assign
    judge          unit x processor -> verdict                  hetpart.oracle
    estimate       unit x processor -> microseconds             hetpart.cost, hetpart.profile
    formulate      -> placement problem                         hetpart.formulate
    solve          problem -> placement with a bound            hetpart.partition
    settle         placement -> one that stands a bad day too   hetpart.forecast
    emit           placement -> plan, code, constants           hetpart.plan, hetpart.codegen
    rehearse       the same placement, run here, against onnxruntime   hetpart.verify
    write          -> bundle                                    hetpart.bundle
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import onnx
import onnx_ir as ir

from hetpart.compression import AccuracyOptions, Compression, Trial, compression_context
from hetpart.cost.estimate import Cost, estimate
from hetpart.cost.work import multiplies_half
from hetpart.errors import HetpartError
from hetpart.forecast import Circumstances, Forecast, Forecasts, settle
from hetpart.formulate import formulate
from hetpart.frontend import import_model
from hetpart.graph.assign import Assignment, assign
from hetpart.graph.units import UnitGraph
from hetpart.oracle import Verdict, ensure_placeable, judge, why_shared
from hetpart.partition import DEFAULT_LIMIT, Outcome, Placement, Problem, require_strategy, solve_all
from hetpart.passes.base import Pass
from hetpart.passes.fuse import fuse
from hetpart.passes.pipeline import PassRecord, optimisation_level, parse_pipeline, run_pipeline
from hetpart.phases import Phases
from hetpart.plan.placed import Placed
from hetpart.profile import Profile, apply
from hetpart.targets import Target
from hetpart.targets.schema import OpenclCodegen

PRECISIONS = ("fp32", "fp16")

Model = str | Path | onnx.ModelProto | ir.Model


@dataclass(frozen=True)
class Options:
    """What the user chose; the defaults are those of the command line.

    Attributes:
        strategy: see `hetpart.partition.STRATEGIES`.
        competing: busy threads of other processes on the CPU's cores, for which to plan.
        limit: the solver's limit, in deterministic units of about 0.75 s of one core.
        level: ``O0`` or ``O1``.
        passes: further passes as pipeline text, e.g. ``prune{ratio=0.3}``, run after the level's own.
        shapes: pinned input shapes; `dims` pins symbolic dimensions.
        verify_each: check the model after every pass.
        on_pass: told after every pass, with the model (``--print-after``).
        precision: ``fp32``; or ``fp16``: maps, and the weights of convolutions, are stored in float16. The CPU computes
            with them in float16 (see hetpart/kernels/cpu/conv_plan.py for its sums), the GPU in float32.
        cpu_fallback: add a plan that needs no GPU, for devices without OpenCL.
        use_cache: reuse compiled kernels.
        workers: processes that compile kernels; None: one per core, and this one alone if there is little to compile.
        accuracy: data for passes that compress, and how what they make is judged.
    """

    strategy: str = "ilp"
    limit: float = DEFAULT_LIMIT
    competing: int = 0
    level: str = "O1"
    passes: str = ""
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)
    verify_each: bool = False
    on_pass: Callable[[PassRecord, ir.Model], None] | None = None
    precision: str = "fp32"
    cpu_fallback: bool = False
    use_cache: bool = True
    workers: int | None = None
    accuracy: AccuracyOptions = field(default_factory=AccuracyOptions)


@dataclass(frozen=True)
class Decision:
    """Everything up to the placement: what `hetpart compile` decides before it generates code.

    `precision` is that of the options. `shared` says per unit and processor why it works on shared buffers there; it is
    empty for private memory. `missing` says per unit on which processors the profile has no time for it; without a
    profile it is empty. `compression` is None unless a pass changed what the model computes.
    """

    target: Target
    precision: str
    assignment: Assignment
    records: tuple[PassRecord, ...]
    verdicts: dict[str, dict[str, Verdict]]
    shared: dict[str, dict[str, str]]
    costs: dict[str, dict[str, Cost]]
    missing: dict[str, tuple[str, ...]]
    problem: Problem
    outcome: Outcome
    forecasts: Forecasts
    competing: int = 0
    compression: Compression | None = None

    @property
    def placement(self) -> Placement:
        return self.outcome.placement


def prepare(
    source: Model, options: Options, phases: Phases, trial: Trial | None = None
) -> tuple[UnitGraph, tuple[PassRecord, ...]]:
    """Model file -> units; `trial` has what passes that compress look at, and watches them."""
    passes: list[Pass] = [*optimisation_level(options.level), *parse_pipeline(options.passes)]
    with phases.phase("import"):
        model = import_model(source, shapes=options.shapes, dims=options.dims)
        context = None if trial is None else trial.start(model)
    with phases.phase("passes"):

        def on_pass(record: PassRecord) -> None:
            if options.on_pass is not None:
                options.on_pass(record, model)
            if trial is not None:
                trial.after(record, model)

        records = run_pipeline(model, passes, context, verify_each=options.verify_each, on_pass=on_pass)
        return fuse(model, epilogues=options.level != "O0"), tuple(records)


@dataclass(frozen=True)
class Assessment:
    """What is known of every unit before anything is placed, by unit and processor.

    Attributes:
        assignment: the units with layouts and layout changes.
        verdicts: of the oracle.
        shared: see `Decision`.
        costs: of the units that move data, on the processors that run them and have a cost table.
    """

    assignment: Assignment
    verdicts: dict[str, dict[str, Verdict]]
    shared: dict[str, dict[str, str]]
    costs: dict[str, dict[str, Cost]]


def assess(units: UnitGraph, target: Target, phases: Phases, *, half: bool = False) -> Assessment:
    """Units -> layouts, verdicts, costs; `half`: maps are stored in float16 (give it a target `in_half`)."""
    with phases.phase("layout"):
        assignment = assign(units, target.block, half=half)
    with phases.phase("judge"):
        verdicts = {
            unit.name: {p.name: judge(unit, assignment.graph, p) for p in target.processors}
            for unit in assignment.graph
        }
        moving = [unit for unit in assignment.graph if unit.name not in assignment.free]
        shared = {unit.name: {p.name: why_shared(unit, assignment, p) for p in target.processors} for unit in moving}
        costs = {
            unit.name: {
                p.name: estimate(
                    unit, assignment.layouts, assignment.graph, p, shared=bool(shared[unit.name][p.name]), half=half
                )
                for p in target.processors
                if verdicts[unit.name][p.name].runs and p.cost is not None
            }
            for unit in moving
        }
    return Assessment(assignment, verdicts, shared, costs)


def decide(source: Model, target: Target, options: Options, phases: Phases, profile: Profile | None = None) -> Decision:
    """Model file -> placement, with the times of `profile` where it has them.

    Raises:
        HetpartError: the model cannot be compiled for `target`; the code says why, `node` where. ``accuracy-drop`` if
            passes cost more accuracy than the options allow.
    """
    require_strategy(options.strategy)
    half = _is_half(options.precision)
    lossy = any(step.lossy for step in parse_pipeline(options.passes))
    if not lossy and (options.accuracy.calibration is not None or options.accuracy.evaluation):
        hint = "add --pass 'prune-channels{ratio=0.3}', for example"
        raise HetpartError(
            "usage", "calibration and --eval are for passes that compress, and there are none", hint=hint
        )
    trial = Trial(source, compression_context(target), options.accuracy)
    units, records = prepare(source, options, phases, trial)
    compression = None
    if lossy:
        compression = trial.finish(units.model)
        if compression.refused:
            hint = "no bundle was written; hetpart compress shows what every pass costs"
            raise HetpartError("accuracy-drop", compression.refused, hint=hint)
    if half and (quantised := next((unit for unit in units if unit.quantised is not None), None)):
        raise HetpartError(
            "fp16-quantised", "a quantised model computes in integers, not in float16", node=quantised.name,
            hint="compile it without --precision fp16, or compile the float32 model it was made from",
        )  # fmt: skip
    target = in_half(target) if half else target
    found = assess(units, target, phases, half=half)
    assignment, verdicts, shared, costs = found.assignment, found.verdicts, found.shared, found.costs
    for unit in assignment.graph:
        ensure_placeable(unit, verdicts[unit.name])
    missing: dict[str, tuple[str, ...]] = {}
    start_us = end_us = 0.0
    if profile is not None:
        applied = apply(profile, assignment, target, costs, shared)
        costs, target, missing = applied.costs, applied.target, applied.missing
        start_us, end_us = applied.start_us, applied.end_us
    with phases.phase("partition"):
        problem = formulate(assignment, target, costs, shared, options.competing, start_us=start_us, end_us=end_us)
        outcome, forecasts = solve(problem, target, options.strategy, options.limit)
    return Decision(
        target, options.precision, assignment, records, verdicts, shared, costs, missing, problem, outcome, forecasts,
        options.competing, compression,
    )  # fmt: skip


def solve(problem: Problem, target: Target, strategy: str, limit: float) -> tuple[Outcome, Forecasts]:
    """A placement that stands on bad days too, where the strategy may choose, and what it takes with contention."""
    again = partial(require_strategy(strategy), limit=limit) if strategy == "ilp" else None
    return settle(solve_all(problem, strategy, limit), Circumstances(problem, target), again)


def _is_half(precision: str) -> bool:
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise HetpartError("bad-option", f"there is no precision '{precision}'", hint=f"choose from {known}")
    return precision == "fp16"


def in_half(target: Target) -> Target:
    """`target` for a network in float16: images hold it too, and buffers of a GPU's own would only copy shared ones."""
    processors = []
    for processor in target.processors:
        if isinstance(processor.codegen, OpenclCodegen):
            storage = "float16" if processor.codegen.memory == "image" else "float32"
            processor = replace(processor, codegen=replace(processor.codegen, storage=storage))
        processors.append(processor)
    return replace(target, processors=tuple(processors))


def placed(placement: Placement, forecast: Forecast) -> Placed:
    """The planner's view of a placement."""
    return Placed(
        {task: mode.processor for task, mode in placement.modes.items()},
        dict(placement.start_us),
        {task: mode.length_us for task, mode in placement.modes.items()},
        forecast.median_us,
        frozenset(task for task, mode in placement.modes.items() if mode.private),
    )


def storage_of(decision: Decision, plan: Placed) -> str:
    """``float32``; ``float16`` where maps are stored so; ``float16-arithmetic`` where the CPU also multiplies so."""
    if decision.precision == "fp16":
        host, assignment = decision.target.host.name, decision.assignment
        multiplied = any(
            multiplies_half(unit, assignment.layouts) and plan.processor[unit.name] == host for unit in assignment.graph
        )
        return "float16-arithmetic" if multiplied else "float16"
    for unit in plan.private:
        codegen = decision.target.processor(plan.processor[unit]).codegen
        if isinstance(codegen, OpenclCodegen):
            return codegen.storage
    return "float32"


def variants(decision: Decision, options: Options) -> dict[str, Placed]:
    """The plans of the bundle by variant name: ``main`` and, if asked for, ``cpu``."""
    plans = {"main": placed(decision.placement, decision.forecasts.plan)}
    if options.cpu_fallback:
        cpu = decision.outcome.baselines.get("cpu")
        if cpu is None:
            raise HetpartError("no-cpu-plan", "not every operator can run on the CPU, so there is no CPU-only plan")
        plans["cpu"] = placed(cpu, decision.forecasts.baselines["cpu"])
    return plans
