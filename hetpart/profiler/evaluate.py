"""Traces of every plan -> a profile, and how far the target's estimates were from it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from hetpart import __version__
from hetpart.compiler import Decision, Model
from hetpart.errors import HetpartError
from hetpart.partition import Problem
from hetpart.profile import Profile
from hetpart.profile.contention import contention
from hetpart.profile.data import middle_mean
from hetpart.profile.keys import target_digest, toolchain, unit_keys
from hetpart.profile.samples import samples, span_us
from hetpart.profile.shares import Share, shares
from hetpart.profile.summary import Run, middle, summarise
from hetpart.profile.traces import PlanTraces, Traces
from hetpart.profiler.bundle import PLANS
from hetpart.profiler.check import PlanCheck, check

_TOOLS = ("apache-tvm", "numpy", "onnx-ir")


@dataclass(frozen=True)
class Measurement:
    """A profile, what the target's own estimates are worth by it, and what it is itself worth."""

    profile: Profile
    shares: tuple[Share, ...]
    checks: tuple[PlanCheck, ...]


def evaluate(source: Model, decision: Decision, traces: Traces, origin: str) -> Measurement:
    """What `traces` tell, which are of the plans of `decision` (see hetpart.profiler.bundle).

    Plans with other names than those are only predicted from the profile and compared.

    Args:
        source: gives the profile its model's name.
        decision: of the model and target that were measured.
        traces: from hetpart-profile.
        origin: how they came about, for people.
    """
    target = decision.target
    order = [name for name in PLANS if name in traces.plans]
    if missing := [name for name in PLANS[:1] if name not in order]:
        raise HetpartError("bad-trace", f"plan {missing[0]} never ran")
    problem = decision.problem
    every = [*order, *sorted(traces.plans.keys() - set(order))]
    runs = {name: [_run(trace, problem) for trace in traces.plans[name].recorded] for name in every}
    together = [{name: _run(trace, problem) for name, trace in pair.items()} for pair in traces.together]
    scale = {
        name: min(1.0, middle_mean(traces.plans[name].plain_us) / middle_mean(run.length_us for run in runs[name]))
        for name in order
    }
    if not any(run.samples for run in runs[order[0]]):
        raise HetpartError("nothing-to-measure", "the model computes nothing: no kernel ran that could be measured")
    keys = unit_keys(decision.assignment, target, decision.shared)
    times = summarise({name: runs[name] for name in order}, keys, scale)
    call = _call(runs[order[0]], traces.plans[order[0]], target.host.name)
    named = Path(source).stem if isinstance(source, str | Path) else decision.assignment.graph.model.graph.name
    profile = Profile(
        model=named or "model",
        target=target.name,
        target_digest=target_digest(target),
        toolchain=toolchain(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        origin=origin,
        machine=traces.machine,
        versions={"hetpart": __version__} | {tool: metadata.version(tool) for tool in _TOOLS},
        entries=times.entries,
        links=times.links,
        copies=times.copies,
        contention=contention(runs, together),
        launch_us=times.launch_us,
        start_us=call.start_us,
        end_us=call.end_us,
    )
    checks = check(profile, decision, {name: (runs[name], traces.plans[name]) for name in every})
    return Measurement(profile, shares(profile, keys, target, decision.costs), checks)


@dataclass(frozen=True)
class _Call:
    """From the call to the first kernel of the host, and from the last kernel to the caller."""

    start_us: float
    end_us: float


def _call(runs: Sequence[Run], plan: PlanTraces, host: str) -> _Call:
    kept = middle(runs)
    starts = [min((s.start_us for s in run.samples if s.processor == host), default=0.0) for run in kept]
    ends = [run.length_us - max(s.end_us for s in run.samples) for run in kept if run.samples]
    end_us = statistics.fmean(ends) + statistics.median(plan.around_us)
    return _Call(round(statistics.fmean(starts), 2), round(end_us, 2))


def _run(trace: Mapping[str, Any], problem: Problem) -> Run:
    start_us, length_us = span_us(trace)
    return Run(length_us, samples(trace, problem), start_us)
