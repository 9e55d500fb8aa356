"""Profiles of this machine: hetpart-profile is compiled, run and evaluated in one go."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hetpart.bundle.read import read_bundle
from hetpart.bundle.toolchain import compiler
from hetpart.compiler import Model, Options, decide
from hetpart.errors import HetpartError
from hetpart.phases import Phases
from hetpart.profile.traces import Traces, read_traces
from hetpart.profiler.bundle import measuring_plans, write_profiler
from hetpart.profiler.evaluate import Measurement, evaluate
from hetpart.runtime.library import program
from hetpart.runtime.opencl_loader import use_packaged_opencl
from hetpart.runtime.session import default_cores
from hetpart.targets import load_target
from hetpart.targets.schema import CpuCodegen

RUNS = 30
"""Recorded runs of each plan."""

TIME_LIMIT_S = 30
"""Seconds after which no further round begins, once there are five."""


def profile(
    source: Model,
    target: str = "host",
    options: Options | None = None,
    *,
    runs: int = RUNS,
    time_limit_s: int = TIME_LIMIT_S,
    phases: Phases | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Measurement:
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
            hint=f"hetpart profile MODEL --target {target} --emit-profiler FOLDER writes a profiler for the phone "
            "(docs/profile.md)",
        )
    options = replace(options or Options(), strategy="heft")
    decision = decide(source, chosen, options, phases)
    with tempfile.TemporaryDirectory(prefix="hetpart-") as folder:
        bundle = Path(folder) / "bundle"
        write_profiler(decision, measuring_plans(decision), options, bundle, phases)
        with phases.phase("measure"):
            traces = run_profiler(bundle, runs, time_limit_s, progress)
    return evaluate(source, decision, traces, "measured on this machine")


def run_profiler(
    bundle: Path, runs: int, time_limit_s: int, progress: Callable[[int, int], None] | None = None
) -> Traces:
    """What hetpart-profile finds out about the plans of `bundle`, each processor on the core that the manifest says.

    Writes beside the bundle. Raises HetpartError: what the runtime reports, or ``profiler-failed``.
    """
    use_packaged_opencl()
    cores = default_cores(read_bundle(bundle).manifest.processors)
    path = bundle.parent / "traces.json"
    command: list[str | Path] = [program("profile", compiler()), bundle, path]
    command += ["--runs", str(runs), "--time-limit", str(time_limit_s)]
    command += ["--cpu-cores", str(cores.get("cpu", 0)), "--opencl-cores", str(cores.get("opencl", 0))]
    errors = bundle.parent / "errors"
    with errors.open("w") as error, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=error, text=True) as run:
        try:
            for line in run.stdout or ():
                if progress and (found := re.match(r"round (\d+) of (\d+)", line)):
                    progress(int(found[1]), int(found[2]))
        except BaseException:
            run.kill()
            raise
    if run.returncode:
        raise _failure(run.returncode, errors.read_text(errors="replace").strip())
    return read_traces(path)


def _failure(status: int, text: str) -> HetpartError:
    """What hetpart-profile said (its last words are ``message [code]``), or what came out instead."""
    if found := re.search(r"hetpart-profile: (.*) \[([a-z-]+)\]$", text, re.DOTALL):
        return HetpartError(found[2], found[1])
    return HetpartError("profiler-failed", f"hetpart-profile ended with status {status}: {text[-500:]}")
