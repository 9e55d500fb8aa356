"""Placement + kernel calls -> Plan: order per processor, waits where processors meet, addresses.

Order comes from the placement's start times. A step waits for another processor only where it reads what that
processor wrote and has not already waited for something later; memory is shared only between steps whose order is
forced (hetpart.plan.memory).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hetpart.errors import InternalError
from hetpart.graph.assign import Assignment
from hetpart.graph.layout import Blocked, Image, Layout
from hetpart.plan.images import Stay, pool
from hetpart.plan.invocation import Argument, Constant, Invocation, Private, Scratch, Value
from hetpart.plan.memory import Allocation, place
from hetpart.plan.placed import Placed
from hetpart.plan.plan import Buffer, ImageShape, Plan, Port, Step, Transfer, Wait
from hetpart.plan.private import Borders, Copy
from hetpart.plan.weights import Weights


def build_plan(
    assignment: Assignment,
    placed: Placed,
    invocations: Mapping[str, Sequence[Invocation]],
    kinds: Mapping[str, str],
    host: str,
    weights: Weights,
    observe: Sequence[str] = (),
    borders: Borders | None = None,
    copies: Mapping[Copy, PricedCalls] | None = None,
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
        borders: what lies in private memory, None if nothing does.
        copies: the launches and the time of each of its copies.
    """
    builder = _Builder(
        assignment, placed, invocations, host, tuple(observe), borders or Borders(), copies or {},
        {name: [] for name in kinds},
    )  # fmt: skip
    builder.schedule()
    return builder.finish(dict(kinds), weights)


PricedCalls = tuple[Sequence[Invocation], int]
"""Launches of one kernel, and how long they take in all, in microseconds."""


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
    borders: Borders
    copies: Mapping[Copy, PricedCalls]
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
            for copy in self.borders.before.get(name, ()):
                self._copy(processor, copy)
            waits, transfers = self._meet(processor, self.assignment.kernel_reads(unit))
            calls = self.invocations[name]
            # parts of one kernel share its time; of several kernels the first stands for all
            parts = len(calls) if len({call.kernel for call in calls}) == 1 else 1
            for index, call in enumerate(calls):
                self.drafts[processor].append(
                    _Draft(
                        name,
                        call,
                        waits if index == 0 else (),
                        transfers if index == 0 else (),
                        self.placed.duration_us[name] // parts if index < parts else 0,
                    )
                )
            for copy in self.borders.after.get(name, ()):
                self._copy(processor, copy)
            self.finished[name] = (processor, len(self.drafts[processor]))
        waits, transfers = self._meet(self.host, (*self.assignment.ports.values(), *self.observe))
        if waits or transfers:
            self.drafts[self.host].append(_Draft("(outputs)", Invocation("", (), ()), waits, transfers, 0))

    def _copy(self, processor: str, copy: Copy) -> None:
        calls, predicted_us = self.copies[copy]
        waits, transfers = self._meet(processor, (copy.value,)) if copy.kind == "in" else ((), ())
        for call in calls:
            self.drafts[processor].append(_Draft(copy.unit, call, waits, transfers, predicted_us // len(calls)))
            waits, transfers = (), ()

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
        numbers, images = pool(self._stays())
        table = _BufferTable(self.assignment, self.borders, self._offsets(), numbers, weights)
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
                    offset=draft.call.offset,
                    grouped=draft.call.grouped,
                )
                for draft in drafts
            )
        graph = self.assignment.graph
        inputs = tuple(table.port(name, name) for name in graph.inputs)
        outputs = tuple(table.port(name, value) for name, value in self.assignment.ports.items())
        outputs += tuple(table.physical_port(value) for value in self.observe)
        return Plan(
            processors, tuple(table.buffers), inputs, outputs, table.arena_bytes,
            weights.size_bytes, self.placed.makespan_us, kinds, images=images,
        )  # fmt: skip

    def _stays(self) -> list[Stay]:
        """How long each value needs an image."""
        stays: dict[str, Stay] = {}
        for drafts in self.drafts.values():
            for index, draft in enumerate(drafts):
                for argument in draft.call.args:
                    form = self.borders.layouts[argument.name] if isinstance(argument, Private) else None
                    if not isinstance(form, Image):
                        continue
                    root = self.borders.roots[argument.name]
                    whole = self.assignment.layouts[root]
                    if not isinstance(whole, Blocked):
                        raise InternalError("layout-form", "only a map can lie in an image", node=root)
                    height, width, _ = Image.of(whole).physical_shape
                    shape = ImageShape(width, height, form.dtype)
                    first = stays[root].first if root in stays else index
                    stays[root] = Stay(root, shape, first, index)
        return list(stays.values())

    def _offsets(self) -> tuple[dict[str, int], int]:
        """Arena offsets of all root values and scratches."""
        later = self._happens_after()
        touched: dict[str, set[int]] = {}
        sizes: dict[str, int] = {}
        index = 0
        for drafts in self.drafts.values():
            for draft in drafts:
                for argument in draft.call.args:
                    if isinstance(argument, Constant) or _in_image(self.borders, argument):
                        continue
                    name, size = _root(self.assignment, self.borders, draft.unit, argument)
                    sizes[name] = size
                    touched.setdefault(name, set()).add(index)
                for value, _ in draft.transfers:
                    name, size = _root(self.assignment, self.borders, draft.unit, Value(value))
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


def _in_image(borders: Borders, argument: Argument) -> bool:
    return isinstance(argument, Private) and isinstance(borders.layouts[argument.name], Image)


def _root(assignment: Assignment, borders: Borders, unit: str, argument: Argument) -> tuple[str, int]:
    """The allocation in the arena behind an argument, and its size."""
    if isinstance(argument, Private):
        root = borders.roots[argument.name]
        itemsize = np.dtype(borders.layouts[argument.name].dtype).itemsize
        return _private(root), assignment.layouts[root].size_bytes * itemsize // 4
    if isinstance(argument, Scratch):
        return f"{unit}:{argument.name}", argument.layout.size_bytes
    if isinstance(argument, Value):
        root, _ = assignment.root(argument.name)
        return root, assignment.layouts[root].size_bytes
    raise TypeError("constants are not in the arena")


def _private(value: str) -> str:
    return f"{value}:private"


class _BufferTable:
    """Numbers the buffers in the order of first use."""

    def __init__(
        self,
        assignment: Assignment,
        borders: Borders,
        offsets: tuple[dict[str, int], int],
        images: Mapping[str, int],
        weights: Weights,
    ) -> None:
        self.buffers: list[Buffer] = []
        self.arena_bytes = offsets[1]
        self._assignment = assignment
        self._borders = borders
        self._images = images
        self._offsets = offsets[0]
        self._weights = weights
        self._known: dict[Buffer, int] = {}

    def index(self, unit: str, argument: Argument) -> int:
        if isinstance(argument, Constant):
            data = argument.data
            offset = self._weights.add(data)
            space = "texture" if argument.image else "weights"
            return self._number(Buffer("", space, offset, data.nbytes, str(data.dtype), data.shape), argument.name)
        if isinstance(argument, Private):
            return self._private(argument.name)
        name, _ = _root(self._assignment, self._borders, unit, argument)
        if isinstance(argument, Scratch):
            return self._arena(name, self._offsets[name], argument.layout, name)
        _, offset = self._assignment.root(argument.name)
        layout = self._assignment.layouts[argument.name]
        return self._arena(argument.name, self._offsets[name] + offset, layout, name)

    def _private(self, value: str) -> int:
        """A value in private memory: columns of an image, or a stretch of the arena that only the GPU uses."""
        form, root = self._borders.layouts[value], self._borders.roots[value]
        if isinstance(form, Image):
            _, columns, _ = form.physical_shape
            start, name, shared = form.first * form.w, _private(value), _private(root) if root != value else ""
            view = Buffer("", "image", start, columns, form.dtype, form.physical_shape, shared, self._images[root])
            return self._number(replace(view, name=name), name)
        whole = self._assignment.root(value)[1] - self._assignment.root(root)[1]
        offset = whole * np.dtype(form.dtype).itemsize // 4
        return self._arena(_private(value), self._offsets[_private(root)] + offset, form, _private(root))

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
