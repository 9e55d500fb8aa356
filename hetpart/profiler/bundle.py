"""What the program hetpart-profile runs: a bundle of plans that between them use every unit in every mode.

All of the network on the host (as far as it goes), all that is possible on the GPU, and in turn on one and the other,
unit by unit and three by three, which shows what a hand-over costs. So weights are as cold and inputs as warm as in the
plans whose time is to be predicted, and what a processor does between two kernels is in the times.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hetpart.codegen.cache import KernelCache
from hetpart.codegen.emit import emit
from hetpart.codegen.isa import target_isa, triples
from hetpart.compiler import Decision, Options, placed
from hetpart.forecast import Circumstances
from hetpart.partition import Placement
from hetpart.partition.alternate import alternating
from hetpart.phases import Phases
from hetpart.profile.keys import identity, unit_keys
from hetpart.rehearse import write_plans
from hetpart.verify import random_inputs

PLANS = ("main", "gpu", "mixed", "mixed3")
"""Those in which units run undisturbed first. ``main`` is the one on the host."""


def write_profiler(
    decision: Decision,
    plans: Mapping[str, Placement],
    options: Options,
    folder: Path,
    phases: Phases,
    further: Mapping[str, bytes | Path] | None = None,
) -> None:
    """Compile plans and write them with inputs, for hetpart-profile.

    Args:
        decision: of the model and target.
        plans: placements of its problem by name, ``main`` among them; to make a profile, those of `measuring_plans`.
        options: how to compile.
        folder: must not exist.
        phases: where to count seconds.
        further: files that the folder holds as well.
    """
    target, graph = decision.target, decision.assignment.graph
    days = Circumstances(decision.problem, target)
    with phases.phase("kernels"):
        emission = emit(
            decision.assignment, {name: placed(plan, days.forecast(plan)) for name, plan in plans.items()},
            target, target_isa(target), KernelCache(enabled=options.use_cache),
            progress=phases.advance, workers=options.workers,
        )  # fmt: skip
    inputs = random_inputs({name: graph.types[name] for name in graph.inputs}, integers=1)
    ports = emission.plans["main"].inputs
    files: dict[str, bytes | Path] = {f"input-{i}.bin": inputs[port.name].tobytes() for i, port in enumerate(ports)}
    keys = unit_keys(decision.assignment, target, decision.shared)
    files["profiler.json"] = json.dumps(identity(target, keys), sort_keys=True).encode()
    with phases.phase("link"):
        write_plans(emission, decision, triples(target), folder, files | dict(further or {}))


def measuring_plans(decision: Decision) -> dict[str, Placement]:
    """Those of `PLANS` that the model and the target have."""
    problem, outcome = decision.problem, decision.outcome
    plans = {"main": outcome.baselines.get("cpu", outcome.placement)}
    if "gpu" in outcome.baselines and any(len(task.modes) > 1 for task in problem.tasks):
        plans["gpu"] = outcome.baselines["gpu"]
        plans["mixed"] = alternating(problem, 1)
        plans["mixed3"] = alternating(problem, 3)
    return plans
