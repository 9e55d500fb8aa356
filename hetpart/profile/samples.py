"""What a trace of a run says about every unit and copy in it: when it could have started, started, and was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hetpart.errors import HetpartError
from hetpart.partition.problem import Problem, Tensor
from hetpart.plan.private import Copy


@dataclass(frozen=True)
class Sample:
    """One unit, or one copy into or out of private memory, in one run; microseconds since the run began.

    Attributes:
        unit, processor: what ran where; a copy is no unit of the model, and has a name in parentheses.
        kernels: symbols of its steps, in order.
        ready_us: when its processor was free and all its inputs were made.
        start_us, end_us: of its first and its last kernel.
        first: nothing ran on its processor before.
        source: the other processor whose result it was that it waited for; empty if it waited for its own processor.
        crossing_bytes: size of its inputs that other processors made.
        copied_bytes: what it copies; 0 for a unit.
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
    copied_bytes: int = 0

    @property
    def undisturbed(self) -> bool:
        """Whether the time since `ready_us` is that of the unit, with nothing that others caused."""
        return not self.first and not self.source


def samples(trace: Mapping[str, Any], problem: Problem, where: str = "the trace") -> list[Sample]:
    """The units and copies of a run, by processor, in the order in which they ran.

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
    copies = {Copy(kind, tensor.name).unit: (kind, tensor) for tensor in problem.tensors for kind in ("in", "out")}
    place: dict[str, str] = {}
    end: dict[str, float] = {}  # of units, and of copies out of private memory by the tensor
    for processor, events in rows.items():
        for event in events:
            kind, copied = copies.get(event["name"], ("", None))
            if event["name"] in known or kind == "out":
                name = event["name"] if copied is None else copied.name
                end[name] = event["ts"] + event["dur"]
            if event["name"] in known:
                place[event["name"]] = processor
    reads: dict[str, list[Tensor]] = {}
    for tensor in problem.tensors:
        for consumer in tensor.consumers:
            reads.setdefault(consumer, []).append(tensor)
    found = []
    for processor, events in rows.items():
        free_us, first = 0.0, True
        for steps in _by_unit(events):
            name = steps[0]["name"]
            finish = steps[-1]["ts"] + steps[-1]["dur"]
            if name in known or name in copies:
                kind, copied = copies.get(name, ("", None))
                inputs = reads.get(name, []) if copied is None else [copied] if kind == "in" else []
                foreign = [tensor for tensor in inputs if place.get(tensor.producer, processor) != processor]
                made = {tensor.producer: end.get(tensor.name, end[tensor.producer]) for tensor in foreign}
                last = max(made, key=lambda producer: made[producer], default="")
                late = last and made[last] > free_us
                kernels = tuple(step["args"]["kernel"] for step in steps)
                found.append(
                    Sample(
                        name,
                        processor,
                        kernels,
                        ready_us=made[last] if late else free_us,
                        start_us=steps[0]["ts"],
                        end_us=finish,
                        first=first,
                        source=place[last] if late else "",
                        crossing_bytes=sum(tensor.size_bytes for tensor in foreign),
                        copied_bytes=0 if copied is None else copied.size_bytes,
                    )
                )
            free_us, first = finish, False
    return found


def span_us(trace: Mapping[str, Any]) -> tuple[float, float]:
    """When the run began, by the device's clock, and how long it was; HetpartError ``bad-trace`` if it does not say."""
    try:
        about = trace["otherData"]
        return float(about["start_ns"]) / 1e3, float(about["run_ns"]) / 1e3
    except (KeyError, TypeError, ValueError) as error:
        raise HetpartError("bad-trace", "a trace does not say when its run was and how long") from error


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
