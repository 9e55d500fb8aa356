"""Profiles of phones: a folder that builds hetpart-profile and runs it there, and what comes back from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hetpart.bundle.toolchain import RUNTIME
from hetpart.bundle.write import require_free
from hetpart.compiler import Model, Options, decide
from hetpart.phases import Phases
from hetpart.profile.keys import identity, unit_keys
from hetpart.profile.traces import read_traces, require_same
from hetpart.profiler.bundle import measuring_plans, write_profiler
from hetpart.profiler.evaluate import Measurement, evaluate
from hetpart.targets import load_target


def emit_profiler(
    source: Model, target: str, folder: Path, options: Options | None = None, phases: Phases | None = None
) -> None:
    """Writes the bundle `folder` whose CMake file builds hetpart-profile and whose profile.sh runs it on a phone.

    Args:
        source: model file, or a model in memory.
        target: name of a target, or path of a target file.
        folder: must not exist.
        options: how the model is prepared, as for compiling.
        phases: where to count seconds.

    Raises:
        HetpartError: ``output-exists``, ``cannot-write``; else as for compiling.
    """
    phases = phases or Phases()
    require_free(folder)
    options = replace(options or Options(), strategy="heft")
    decision = decide(source, load_target(target), options, phases)
    script = {"profile.sh": RUNTIME / "device" / "profile.sh"}
    write_profiler(decision, measuring_plans(decision), options, folder, phases, script)


def profile_of_traces(
    source: Model, target: str, path: Path, options: Options | None = None, phases: Phases | None = None
) -> Measurement:
    """The profile of a phone, out of the file that hetpart-profile wrote there.

    Args:
        source, target, options: what `emit_profiler` was given.
        path: the file.
        phases: where to count seconds.

    Raises:
        HetpartError: ``no-trace`` (cannot be read), ``bad-trace``, ``version-mismatch``, ``trace-mismatch`` (of another
            model, target or hetpart); else as for compiling.
    """
    traces = read_traces(path)
    options = replace(options or Options(), strategy="heft")
    decision = decide(source, load_target(target), options, phases or Phases())
    keys = unit_keys(decision.assignment, decision.target, decision.shared)
    require_same(traces, identity(decision.target, keys), path)
    return evaluate(source, decision, traces, f"measured by hetpart-profile on {traces.machine.get('processor')}")
