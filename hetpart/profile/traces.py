"""What hetpart-profile wrote: traces of many runs of every plan of a bundle, and how long the runs without one took."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hetpart.errors import HetpartError

SCHEMA = 2
"""Version of the file; readers accept no other. 2: with runs of two plans at once."""

FORMAT = "hetpart-traces"


@dataclass
class PlanTraces:
    """Runs of one plan, in microseconds.

    Attributes:
        recorded: what `hp_trace` writes, per recorded run.
        plain_us: lengths of runs without a recorder.
        around_us: what those calls took beside the run.
    """

    recorded: list[dict[str, Any]] = field(default_factory=list)
    plain_us: list[float] = field(default_factory=list)
    around_us: list[float] = field(default_factory=list)

    @property
    def call_us(self) -> list[float]:
        """What calls without a recorder took, copies of inputs and outputs included."""
        return [run_us + around_us for run_us, around_us in zip(self.plain_us, self.around_us, strict=True)]


@dataclass(frozen=True)
class Traces:
    """The file.

    Attributes:
        bundle: `hetpart.profile.keys.identity` of the bundle that ran.
        machine: processor, system, cores, load before and after.
        plans: by name.
        together: recorded runs of two plans at the same time, by plan.
    """

    bundle: dict[str, str]
    machine: dict[str, Any]
    plans: dict[str, PlanTraces]
    together: tuple[dict[str, dict[str, Any]], ...] = ()


def read_traces(path: Path) -> Traces:
    """The traces in a file.

    Raises:
        HetpartError: ``no-trace`` (cannot be read), ``bad-trace``, ``version-mismatch``.
    """
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise HetpartError("no-trace", f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise HetpartError("bad-trace", f"{path} is not JSON: {error}", hint="was hetpart-profile stopped?") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise HetpartError(
            "bad-trace", f"{path} was not written by hetpart-profile",
            hint="hetpart profile MODEL --emit-profiler FOLDER writes a folder that builds it",
        )  # fmt: skip
    if values.get("schema") != SCHEMA:
        raise HetpartError(
            "version-mismatch", f"{path}: traces of schema {values.get('schema')}, this hetpart reads schema {SCHEMA}",
            hint="emit the profiler with this version, and measure again",
        )  # fmt: skip
    try:
        return _traces(values)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise HetpartError("bad-trace", f"{path} is damaged: {error!r}") from error


def _traces(values: Mapping[str, Any]) -> Traces:
    plans: dict[str, PlanTraces] = {}
    together = []
    for run in values["runs"]:
        if "together" in run:
            together.append({_name(one["plan"]): one["trace"] for one in run["together"]})
            continue
        plan = plans.setdefault(_name(run["plan"]), PlanTraces())
        if "trace" in run:
            plan.recorded.append(run["trace"])
        else:
            plan.plain_us.append(run["run_ns"] / 1e3)
            plan.around_us.append((run["call_ns"] - run["run_ns"]) / 1e3)
    if not plans or not all(plan.recorded and plan.plain_us for plan in plans.values()):
        raise ValueError("a plan never ran")
    for pair in together:
        if len(pair) != 2 or any(len(plans[name].recorded) < len(together) for name in pair):
            raise ValueError("two plans that ran at once did not run alone in every round")
    loads = {key: [float(value) for value in values[key]] for key in ("load_before", "load_after")}
    return Traces(dict(values["bundle"]), {**values["device"], **loads}, plans, tuple(together))


def _name(file: str) -> str:
    """The plan's, of its file's."""
    return "main" if file == "plan.bin" else file.removeprefix("plan-").removesuffix(".bin")


def require_same(traces: Traces, expected: Mapping[str, str], path: Path) -> None:
    """Refuses traces of another bundle than one of this `identity`; HetpartError ``trace-mismatch`` says which."""
    different = {
        "target": f"of target {traces.bundle.get('target')}, not of {expected['target']}",
        "target_digest": f"of a target {expected['target']} with other processors or code generation options",
        "toolchain": "of code from another toolchain",
        "units": "of another model, or of one prepared, compiled or tuned in another way",
    }
    for key, what in different.items():
        if traces.bundle.get(key) != expected[key]:
            raise HetpartError(
                "trace-mismatch", f"{path} is {what}",
                hint="give the model, target, shapes and passes that --emit-profiler was given, or emit it again",
            )  # fmt: skip
