"""What a trace of a run says about every unit in it: when it could have started, started, and was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hetpart.errors import HetpartError
from hetpart.partition.problem import Problem


@dataclass(frozen=True)
class Sample:
    """One unit in one run; times in microseconds since the run began.

    Attributes:
        unit, processor: what ran where.
        kernels: symbols of its steps, in order.
        ready_us: when its processor was free and all its inputs were made.
        start_us, end_us: of its first and its last kernel.
        first: nothing ran on its processor before.
        source: the other processor whose result it was that it waited for; empty if it waited for its own processor.
        crossing_bytes: size of its inputs that other processors made.
    """

    unit: str
    processor: str
    kernels: tuple[str, ...]
    ready_us: float
    start_us: float
    end_us: float
    first: bool
    source: str
    crossing_bytes: int

    @property
    def undisturbed(self) -> bool:
        """Whether the time since `ready_us` is that of the unit, with nothing that others caused."""
        return not self.first and not self.source


def samples(trace: Mapping[str, Any], problem: Problem, where: str = "the trace") -> list[Sample]:
    """The units of a run, by processor, in the order in which they ran.

    Args:
        trace: as the runtime writes it (`hp_trace`).
        problem: the placement problem of the model; says which unit reads what.
        where: the trace in messages.

    Raises:
        HetpartError: ``bad-trace`` if it is none, ``trace-mismatch`` if it is of another model or target.
    """
    rows = _rows(trace, where)
    known = {task.name for task in problem.tasks}
    for processor in rows:
        if processor not in problem.processors:
            have = ", ".join(problem.processors)
            what = f"{where} has a processor {processor}, the target has {have}"
            raise HetpartError("trace-mismatch", what, hint="give the target that the bundle was compiled for")
    place: dict[str, str] = {}
    end: dict[str, float] = {}
    for processor, events in rows.items():
        for event in events:
            if event["name"] in known:
                place[event["name"]] = processor
                end[event["name"]] = event["ts"] + event["dur"]
    reads: dict[str, list[tuple[str, int]]] = {}
    for tensor in problem.tensors:
        for consumer in tensor.consumers:
            reads.setdefault(consumer, []).append((tensor.producer, tensor.size_bytes))
    found = []
    for processor, events in rows.items():
        free_us, first = 0.0, True
        for steps in _by_unit(events):
            unit = steps[0]["name"]
            finish = steps[-1]["ts"] + steps[-1]["dur"]
            if unit in known:
                foreign = [(p, size) for p, size in reads.get(unit, ()) if place.get(p, processor) != processor]
                last = max(foreign, key=lambda read: end[read[0]], default=None)
                late = last is not None and end[last[0]] > free_us
                ready = end[last[0]] if last is not None and late else free_us
                kernels = tuple(step["args"]["kernel"] for step in steps)
                source = place[last[0]] if last is not None and late else ""
                size = sum(size for _, size in foreign)
                found.append(
                    Sample(unit, processor, kernels, ready, steps[0]["ts"], finish, first, source, size)
                )  # fmt: skip
            free_us, first = finish, False
    return found


def length_us(trace: Mapping[str, Any]) -> float:
    """Duration of the run; HetpartError ``bad-trace`` if it is not there."""
    try:
        return float(trace["otherData"]["run_ns"]) / 1e3
    except (KeyError, TypeError, ValueError) as error:
        raise HetpartError("bad-trace", "a trace does not say how long its run was") from error


def _rows(trace: Mapping[str, Any], where: str) -> dict[str, list[dict[str, Any]]]:
    """The steps of every processor, in order."""
    try:
        names = {
            event["tid"]: str(event["args"]["name"])
            for event in trace["traceEvents"]
            if event["ph"] == "M" and event["name"] == "thread_name"
        }
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
        for event in trace["traceEvents"]:
            if event["ph"] == "X" and event["cat"] == "step":
                if not (event["ts"] >= 0 and event["dur"] >= 0 and isinstance(event["args"]["kernel"], str)):
                    raise ValueError("a step has no times")
                rows[names[event["tid"]]].append(event)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HetpartError(
            "bad-trace", f"{where} is no trace of hetpart's runtime", hint="hetpart-profile records them"
        ) from error
    return {name: sorted(steps, key=lambda step: step["ts"]) for name, steps in rows.items()}


def _by_unit(events: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Consecutive steps of one unit together."""
    groups: list[list[dict[str, Any]]] = []
    for event in events:
        if groups and groups[-1][0]["name"] == event["name"]:
            groups[-1].append(event)
        else:
            groups.append([event])
    return groups
