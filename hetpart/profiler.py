"""Measures a model's units on this machine, in the network that they belong to, and makes profiles of phones' traces.

The real network runs on the runtime that a bundle links: all of it on the host, all that is possible on the GPU, and
in turn on one and the other, which shows what a hand-over costs. Plans take turns. So weights are as cold and inputs as
warm as in the plans whose time is to be predicted, and what a processor does between two kernels is in the times.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from hetpart import __version__
from hetpart.codegen.cache import KernelCache
from hetpart.codegen.emit import emit
from hetpart.codegen.isa import target_isa
from hetpart.compiler import Decision, Model, Options, decide, placed
from hetpart.errors import HetpartError
from hetpart.forecast import Circumstances
from hetpart.partition import Placement, Problem
from hetpart.partition.alternate import alternating
from hetpart.phases import Phases
from hetpart.profile import Profile
from hetpart.profile.keys import target_digest, toolchain, unit_kernels
from hetpart.profile.machine import load, processor_name
from hetpart.profile.samples import samples, unknown_units
from hetpart.profile.summary import Run, Times, Unit, middle, summarise
from hetpart.rehearse import write_plans
from hetpart.runtime.session import Session
from hetpart.targets import Target, load_target
from hetpart.targets.schema import CpuCodegen
from hetpart.verify import random_inputs

RUNS = 30
"""Recorded runs of each plan."""

TIME_LIMIT_S = 30.0
"""Seconds after which no further round begins, once there are `_LEAST_RUNS`."""

_LEAST_RUNS = 5
_PLAIN_RUNS = 2
"""Runs without recording in each turn."""

_TOOLS = ("apache-tvm", "numpy", "onnx-ir")


def profile(
    source: Model,
    target: str = "host",
    options: Options | None = None,
    *,
    runs: int = RUNS,
    time_limit_s: float = TIME_LIMIT_S,
    phases: Phases | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Profile:
    """Times of every unit of `source` on every processor of this machine that can run it.

    Args:
        source: model file, or a model in memory.
        target: a target whose CPU is this machine's.
        options: how the model is prepared, as for compiling.
        runs: rounds, in each of which every plan runs once with a recorder.
        time_limit_s: begin no round after so many seconds.
        phases: where to count seconds.
        progress: told (done, total) rounds.

    Raises:
        HetpartError: ``not-native`` if the target is another machine; no OpenCL; else as for compiling.
    """
    phases = phases or Phases()
    chosen = load_target(target)
    codegen = chosen.host.codegen
    if not isinstance(codegen, CpuCodegen) or not codegen.native:
        raise HetpartError(
            "not-native",
            f"target {target} is not this machine, and times are measured where the code runs",
            hint=f"run the bundle on the phone with hetpart-run --trace, then: hetpart profile MODEL --target {target} "
            "--from-trace trace.json (docs/profile.md)",
        )
    options = replace(options or Options(), strategy="heft")
    before = load()
    decision = decide(source, chosen, options, phases)
    with phases.phase("kernels"):
        isa = target_isa(chosen)
        plans = _plans(decision)
        circumstances = Circumstances(decision.problem, chosen)
        emission = emit(
            decision.assignment, {name: placed(plan, circumstances.forecast(plan)) for name, plan in plans.items()},
            chosen, isa,
            KernelCache(enabled=options.use_cache), progress=phases.advance, workers=options.workers,
        )  # fmt: skip
    graph = decision.assignment.graph
    inputs = random_inputs({name: graph.types[name] for name in graph.inputs}, no_zeros=True)
    with phases.phase("measure"), tempfile.TemporaryDirectory(prefix="hetpart-") as folder:
        bundle = Path(folder) / "bundle"
        write_plans(emission, decision, isa, bundle)
        measured = _measure(bundle, list(plans), inputs, decision.problem, runs, time_limit_s, progress)
    scale = {
        name: min(1.0, _typical(one.plain_us) / _typical([r.length_us for r in one.runs]))
        for name, one in measured.items()
    }
    order = [name for name in _ORDER if name in measured]
    times = summarise({name: measured[name].runs for name in order}, _keys(decision), scale)
    alone = measured[order[0]]
    start_us, end_us = alone.call_us(chosen.host.name)
    return _profile(source, decision, times, "measured on this machine", before, start_us, end_us)


def profile_of_traces(
    source: Model, target: str, traces: Sequence[Path], options: Options | None = None, phases: Phases | None = None
) -> Profile:
    """The profile of a phone, out of traces that its runtime wrote while it ran a bundle of the same model.

    Units are known on the processors on which the bundle ran them; start and end of a call are not.

    Raises:
        HetpartError: ``no-trace`` (cannot be read), ``bad-trace``, ``trace-mismatch`` (of another model, target or
            hetpart); else as for compiling.
    """
    chosen = load_target(target)
    decision = decide(source, chosen, replace(options or Options(), strategy="heft"), phases or Phases())
    keys = _keys(decision)
    runs = []
    for path in traces:
        trace = _read_trace(path)
        if strange := unknown_units(trace, decision.problem, str(path)):
            raise HetpartError(
                "trace-mismatch", f"{path} has a unit that the model lacks", node=strange[0],
                hint="give the model, shapes and passes that the bundle was compiled with",
            )  # fmt: skip
        found = samples(trace, decision.problem, str(path))
        for sample in found:
            memory, kernels = keys.get((sample.unit, sample.processor), ("", ""))
            wanted = kernels.split("+")[0].split("-")[0]
            # a kernel on private memory has a spec of its own; its word tells at least what it computes
            word = wanted.rsplit("_", 1)[0] if memory == "private" else wanted
            if not memory or not sample.kernels[0].startswith(word):
                raise HetpartError(
                    "trace-mismatch", f"{path}: {sample.processor} ran {sample.kernels[0]}, not {wanted or 'nothing'}",
                    node=sample.unit, hint="compile the bundle with this hetpart, and record again",
                )  # fmt: skip
        if not found:
            raise HetpartError("bad-trace", f"{path} has no steps", hint="hetpart-run --trace FILE records them")
        runs.append(Run(max(sample.end_us for sample in found), found))
    times = summarise({"trace": runs}, keys)
    count = f"{len(traces)} trace{'s' if len(traces) > 1 else ''}"
    return _profile(source, decision, times, f"out of {count} recorded on a device", load(), None, None)


_ORDER = ("main", "gpu", "mixed", "mixed3")


def _plans(decision: Decision) -> dict[str, Placement]:
    """All on the host (as far as it goes), all on the GPU, and in turn: every unit, and every third."""
    problem, outcome = decision.problem, decision.outcome
    plans = {"main": outcome.baselines.get("cpu", outcome.placement)}
    if "gpu" in outcome.baselines and any(len(task.modes) > 1 for task in problem.tasks):
        plans["gpu"] = outcome.baselines["gpu"]
        plans["mixed"] = alternating(problem, 1)
        plans["mixed3"] = alternating(problem, 3)
    return plans


@dataclass
class _Measured:
    """Runs of one plan: recorded ones with the length of each, and plain ones without a recorder.

    Attributes:
        plain_us: lengths of plain runs.
        around_us: what a call takes beside the run.
    """

    runs: list[Run] = field(default_factory=list)
    plain_us: list[float] = field(default_factory=list)
    around_us: list[float] = field(default_factory=list)

    def call_us(self, host: str) -> tuple[float, float]:
        """From the call to the first kernel of the host, and from the last kernel to the caller."""
        runs = middle(self.runs)
        starts = [min((s.start_us for s in run.samples if s.processor == host), default=0.0) for run in runs]
        ends = [run.length_us - max(s.end_us for s in run.samples) for run in runs if run.samples]
        start_us = statistics.fmean(starts)
        return round(start_us, 2), round(statistics.fmean(ends) + statistics.median(self.around_us), 2)


def _measure(
    bundle: Path,
    plans: Sequence[str],
    inputs: Mapping[str, np.ndarray],
    problem: Problem,
    runs: int,
    time_limit_s: float,
    progress: Callable[[int, int], None] | None,
) -> dict[str, _Measured]:
    """Rounds in which every plan has its turn: a run to warm up, one with a recorder, and plain ones."""
    measured = {name: _Measured() for name in plans}
    with contextlib.ExitStack() as stack:
        recorded = {name: stack.enter_context(Session(bundle, plan=name)) for name in plans}
        plain = {name: stack.enter_context(Session(bundle, plan=name, trace=False)) for name in plans}
        for session in (*recorded.values(), *plain.values()):
            session.run(inputs)  # pages of weights and arenas are touched
        began = time.monotonic()
        for done in range(runs):
            if done >= _LEAST_RUNS and time.monotonic() - began > time_limit_s:
                break
            for name in [*plans[done % len(plans) :], *plans[: done % len(plans)]]:
                one = measured[name]
                recorded[name].run(inputs)
                recorded[name].run(inputs)
                one.runs.append(Run(recorded[name].run_us, samples(recorded[name].trace(), problem)))
                plain[name].run(inputs)
                for _ in range(_PLAIN_RUNS):
                    start = time.perf_counter()
                    plain[name].run(inputs)
                    call_us = 1e6 * (time.perf_counter() - start)
                    one.plain_us.append(plain[name].run_us)
                    one.around_us.append(call_us - plain[name].run_us)
            if progress:
                progress(done + 1, runs)
    return measured


def _typical(values: Sequence[float]) -> float:
    """Mean of the middle half."""
    ranked = sorted(values)
    cut = len(ranked) // 4
    return statistics.fmean(ranked[cut : len(ranked) - cut])


def _keys(decision: Decision) -> dict[Unit, tuple[str, str]]:
    """(unit, processor) -> memory and kernels."""
    kernels = unit_kernels(decision.assignment, decision.target)
    return {
        (unit, processor): ("shared" if decision.shared[unit][processor] else "private", kernels[unit][processor])
        for unit, row in decision.costs.items()
        for processor in row
    }


def _profile(
    source: Model,
    decision: Decision,
    times: Times,
    origin: str,
    before: list[float],
    start_us: float | None,
    end_us: float | None,
) -> Profile:
    target: Target = decision.target
    named = Path(source).stem if isinstance(source, str | Path) else decision.assignment.graph.model.graph.name
    return Profile(
        model=named or "model",
        target=target.name,
        target_digest=target_digest(target),
        toolchain=toolchain(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        origin=origin,
        machine={
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "load_before": before,
            "load_after": load(),
        },
        versions={"hetpart": __version__} | {tool: metadata.version(tool) for tool in _TOOLS},
        entries=times.entries,
        links=times.links,
        launch_us=times.launch_us,
        start_us=start_us,
        end_us=end_us,
    )


def _read_trace(path: Path) -> dict[str, Any]:
    try:
        trace = json.loads(path.read_bytes())
    except OSError as error:
        raise HetpartError("no-trace", f"cannot read trace {path}: {error.strerror}") from error
    except ValueError as error:
        raise HetpartError("bad-trace", f"{path} is not JSON: {error}") from error
    if not isinstance(trace, dict):
        raise HetpartError("bad-trace", f"{path} is no trace of hetpart's runtime")
    return trace
