"""Placement + kernel calls -> Plan: order per processor, waits where processors meet, addresses.

Order comes from the placement's start times. A step waits for another processor only where it reads what that
processor wrote and has not already waited for something later; memory is shared only between steps whose order is
forced (hetpart.plan.memory).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hetpart.graph.assign import Assignment
from hetpart.graph.layout import Layout
from hetpart.plan.invocation import Argument, Constant, Invocation, Scratch, Value
from hetpart.plan.memory import Allocation, place
from hetpart.plan.plan import Buffer, Plan, Port, Step, Transfer, Wait
from hetpart.plan.weights import Weights


@dataclass(frozen=True)
class Placed:
    """What the planner needs of a placement: for each unit its processor, start and duration in microseconds."""

    processor: dict[str, str]
    start_us: dict[str, int]
    duration_us: dict[str, int]
    makespan_us: int


def build_plan(
    assignment: Assignment,
    placed: Placed,
    invocations: Mapping[str, Sequence[Invocation]],
    kinds: Mapping[str, str],
    host: str,
    weights: Weights,
    observe: Sequence[str] = (),
) -> Plan:
    """The finished plan; its constants are added to `weights`.

    Args:
        assignment: units and layouts.
        placed: where and when each unit runs.
        invocations: the kernel calls of every unit that moves data.
        kinds: processor name -> ``cpu``, ``opencl`` or ``hexagon``, in the order of the plan.
        host: the processor that owns the model's inputs and outputs.
        weights: where the constants go.
        observe: further values to keep and to offer as outputs, in their physical shape (for finding a fault).
    """
    builder = _Builder(assignment, placed, invocations, host, tuple(observe), {name: [] for name in kinds})
    builder.schedule()
    return builder.finish(dict(kinds), weights)


@dataclass
class _Draft:
    """A step whose arguments have no addresses yet."""

    unit: str
    call: Invocation
    waits: tuple[Wait, ...]
    transfers: tuple[tuple[str, str], ...]  # (value, source processor)
    predicted_us: int


@dataclass
class _Builder:
    assignment: Assignment
    placed: Placed
    invocations: Mapping[str, Sequence[Invocation]]
    host: str
    observe: tuple[str, ...]
    drafts: dict[str, list[_Draft]]
    finished: dict[str, tuple[str, int]] = field(default_factory=dict)  # unit -> processor, count of its last step
    waited: dict[tuple[str, str], int] = field(default_factory=dict)
    present: set[tuple[str, str]] = field(default_factory=set)  # (processor, value) that crossed over already

    def schedule(self) -> None:
        rank = {unit.name: index for index, unit in enumerate(self.assignment.graph)}
        order = sorted(
            (name for name in rank if self.invocations.get(name)),
            key=lambda name: (self.placed.start_us[name], rank[name]),
        )
        for name in order:
            processor = self.placed.processor[name]
            unit = self.assignment.graph.units[name]
            waits, transfers = self._meet(processor, self.assignment.kernel_reads(unit))
            calls = self.invocations[name]
            for index, call in enumerate(calls):
                self.drafts[processor].append(
                    _Draft(
                        name,
                        call,
                        waits if index == 0 else (),
                        transfers if index == 0 else (),
                        self.placed.duration_us[name] if index == 0 else 0,
                    )
                )
            self.finished[name] = (processor, len(self.drafts[processor]))
        waits, transfers = self._meet(self.host, (*self.assignment.ports.values(), *self.observe))
        if waits or transfers:
            self.drafts[self.host].append(_Draft("(outputs)", Invocation("", (), ()), waits, transfers, 0))

    def _meet(self, processor: str, values: Sequence[str]) -> tuple[tuple[Wait, ...], tuple[tuple[str, str], ...]]:
        """What a step on `processor` that reads `values` has to wait for and to bring over."""
        counts: dict[str, int] = {}
        transfers = []
        for value in values:
            for maker, part in self.assignment.written_parts(value):
                source, count = (self.host, 0) if maker is None else self.finished[maker]
                if source == processor:
                    continue
                if count > self.waited.get((processor, source), 0):
                    counts[source] = max(counts.get(source, 0), count)
                if (processor, part) not in self.present:
                    self.present.add((processor, part))
                    transfers.append((part, source))
        for source, count in counts.items():
            self.waited[processor, source] = count
        return tuple(Wait(p, c) for p, c in sorted(counts.items())), tuple(transfers)

    def finish(self, kinds: dict[str, str], weights: Weights) -> Plan:
        table = _BufferTable(self.assignment, self._offsets(), weights)
        processors = {}
        for name, drafts in self.drafts.items():
            processors[name] = tuple(
                Step(
                    unit=draft.unit,
                    kernel=draft.call.kernel,
                    args=tuple(table.index(draft.unit, argument) for argument in draft.call.args),
                    extent=draft.call.extent,
                    global_size=draft.call.global_size,
                    local_size=draft.call.local_size,
                    waits=draft.waits,
                    transfers=tuple(Transfer(table.index("", Value(v)), s) for v, s in draft.transfers),
                    predicted_us=draft.predicted_us,
                    writes=draft.call.writes,
                    ranged=draft.call.ranged,
                )
                for draft in drafts
            )
        graph = self.assignment.graph
        inputs = tuple(table.port(name, name) for name in graph.inputs)
        outputs = tuple(table.port(name, value) for name, value in self.assignment.ports.items())
        outputs += tuple(table.physical_port(value) for value in self.observe)
        return Plan(
            processors, tuple(table.buffers), inputs, outputs, table.arena_bytes,
            weights.size_bytes, self.placed.makespan_us, kinds,
        )  # fmt: skip

    def _offsets(self) -> tuple[dict[str, int], int]:
        """Arena offsets of all root values and scratches."""
        later = self._happens_after()
        touched: dict[str, set[int]] = {}
        sizes: dict[str, int] = {}
        index = 0
        for drafts in self.drafts.values():
            for draft in drafts:
                for argument in draft.call.args:
                    if isinstance(argument, Constant):
                        continue
                    name, size = _root(self.assignment, draft.unit, argument)
                    sizes[name] = size
                    touched.setdefault(name, set()).add(index)
                for value, _ in draft.transfers:
                    name, size = _root(self.assignment, draft.unit, Value(value))
                    sizes[name] = size
                    touched.setdefault(name, set()).add(index)
                index += 1
        kept = (*self.assignment.graph.inputs, *self.assignment.ports.values(), *self.observe)
        ports = {self.assignment.root(value)[0] for value in kept}
        for name in ports:
            sizes[name] = self.assignment.layouts[name].size_bytes
        return place(
            [Allocation(n, s, tuple(sorted(touched.get(n, ()))), n in ports) for n, s in sorted(sizes.items())],
            later,
        )

    def _happens_after(self) -> list[int]:
        """For each step (numbered processor by processor) the mask of the steps after it in every execution."""
        base: dict[str, int] = {}
        total = 0
        for name, drafts in self.drafts.items():
            base[name] = total
            total += len(drafts)
        before = [0] * total  # the same relation seen from the other end, filled in a compatible order
        position = dict.fromkeys(self.drafts, 0)
        while any(position[p] < len(self.drafts[p]) for p in self.drafts):
            for name, drafts in self.drafts.items():
                while position[name] < len(drafts) and all(
                    position[w.processor] >= w.count for w in drafts[position[name]].waits
                ):
                    step = base[name] + position[name]
                    sources = [step - 1] if position[name] else []
                    sources += [base[w.processor] + w.count - 1 for w in drafts[position[name]].waits]
                    for source in sources:
                        before[step] |= before[source] | 1 << source
                    position[name] += 1
        later = [0] * total
        for step, mask in enumerate(before):
            while mask:
                low = mask & -mask
                later[low.bit_length() - 1] |= 1 << step
                mask ^= low
        return later


def _root(assignment: Assignment, unit: str, argument: Argument) -> tuple[str, int]:
    """The allocation behind an argument, and its size."""
    if isinstance(argument, Scratch):
        return f"{unit}:{argument.name}", argument.layout.size_bytes
    if isinstance(argument, Value):
        root, _ = assignment.root(argument.name)
        return root, assignment.layouts[root].size_bytes
    raise TypeError("constants are not in the arena")


class _BufferTable:
    """Numbers the buffers in the order of first use."""

    def __init__(self, assignment: Assignment, offsets: tuple[dict[str, int], int], weights: Weights) -> None:
        self.buffers: list[Buffer] = []
        self.arena_bytes = offsets[1]
        self._assignment = assignment
        self._offsets = offsets[0]
        self._weights = weights
        self._known: dict[Buffer, int] = {}

    def index(self, unit: str, argument: Argument) -> int:
        if isinstance(argument, Constant):
            data = argument.data
            offset = self._weights.add(data)
            return self._number(Buffer("", "weights", offset, data.nbytes, str(data.dtype), data.shape), argument.name)
        name, _ = _root(self._assignment, unit, argument)
        if isinstance(argument, Scratch):
            return self._arena(name, self._offsets[name], argument.layout, name)
        _, offset = self._assignment.root(argument.name)
        layout = self._assignment.layouts[argument.name]
        return self._arena(argument.name, self._offsets[name] + offset, layout, name)

    def port(self, name: str, value: str) -> Port:
        kind = self._assignment.graph.types[value]
        return Port(name, self.index("", Value(value)), kind.dtype, kind.shape)

    def physical_port(self, value: str) -> Port:
        layout = self._assignment.layouts[value]
        return Port(f"{value}:stored", self.index("", Value(value)), layout.dtype, layout.physical_shape)

    def _arena(self, name: str, offset: int, layout: Layout, root: str) -> int:
        shape = layout.physical_shape
        dtype = str(np.dtype(layout.dtype))
        shared = root if root != name else ""
        return self._number(Buffer(name, "arena", offset, layout.size_bytes, dtype, shape, shared), name)

    def _number(self, buffer: Buffer, name: str) -> int:
        """The index of `buffer`; the name of its first user stands for a shared constant."""
        if buffer not in self._known:
            self._known[buffer] = len(self.buffers)
            self.buffers.append(replace(buffer, name=name))
        return self._known[buffer]
