"""What is to be placed, as pure data: tasks with modes, tensors, links. Integer microseconds; no ONNX, no TVM.

The model of time, which every strategy and the checker share:

* A task runs in exactly one of its modes, from `start` to ``start + launch_us + duration_us``, and occupies the mode's
  processor all that time. During ``[start, start + launch_us)`` it occupies the host as well: somebody must enqueue it
  (modes of a processor whose driver has a core of its own have no launch). A processor does one thing at a time. What
  takes no time occupies nothing.
* A task starts when every tensor it reads is on its processor. A tensor is there when its producer finishes, and on
  another processor one transfer later; a transfer happens once per (tensor, destination), however many tasks read it.
* A transfer is a delay. It starts as soon as the producer finishes and occupies neither processors nor the link: a
  shared bus changes the optimum by at most 0.4 % on seven CNNs, but where the host itself copies the bytes, the
  prediction can be optimistic by up to 6 %; put that cost into `Link.fixed_us`.

* A processor may have private memory besides the one that it shares. What lies there must be converted before another
  processor, or a task of the same one in a shared mode, can read it, and the other way round. A conversion is a delay,
  like a transfer, and adds to it; it really occupies the processor, but only for as long as a copy takes.

Later a mode may occupy several processors (a task split over channels or rows); today it is one plus the host's launch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from hetpart.errors import InternalError

Place = tuple[str, bool]
"""A processor, and whether its private memory is meant."""


@dataclass(frozen=True)
class Mode:
    """One way to run a task: on `processor` for `duration_us`, after the host has spent `launch_us` on launching it.

    It reads and writes shared memory, or the processor's `private` memory.
    """

    processor: str
    duration_us: int
    launch_us: int = 0
    private: bool = False

    @property
    def length_us(self) -> int:
        """From start to finish."""
        return self.launch_us + self.duration_us

    @property
    def place(self) -> Place:
        """Where its results lie."""
        return self.processor, self.private


@dataclass(frozen=True)
class Task:
    """One unit of work. A processor that cannot run it has no mode; a task pinned to a processor has one mode."""

    name: str
    modes: tuple[Mode, ...]

    def mode_on(self, processor: str) -> Mode | None:
        return next((mode for mode in self.modes if mode.processor == processor), None)


@dataclass(frozen=True)
class Tensor:
    """Data made by one task and read by others."""

    name: str
    producer: str
    consumers: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True)
class Link:
    """The one-way path from `source` to `target`; `fixed_us` holds synchronisation and cache maintenance.

    `loading` is the share of a transfer that is no delay but makes the first kernel that reads the tensor longer, which
    finds it in no cache. Only a replay tells them apart: to the solver all of it is delay, which is the same for a
    reader that waits.
    """

    source: str
    target: str
    fixed_us: int
    bytes_per_us: float
    loading: float = 0.0

    def transfer_us(self, size_bytes: int) -> int:
        return self.fixed_us + math.ceil(size_bytes / self.bytes_per_us)


@dataclass(frozen=True)
class Converter:
    """The way between the shared and the private memory of `processor`, in either direction."""

    processor: str
    fixed_us: int
    bytes_per_us: float

    def convert_us(self, size_bytes: int) -> int:
        return self.fixed_us + math.ceil(size_bytes / self.bytes_per_us)


@dataclass(frozen=True)
class Problem:
    """Place `tasks` on `processors` so that the last one finishes as early as possible.

    Attributes:
        processors: names; `host` is one of them.
        host: the CPU that launches the others' work.
        tasks: in topological order. Model inputs and outputs are tasks of duration 0 pinned to the host.
        tensors: the dependences.
        links: one for every ordered pair of processors.
        converters: one for every processor with private modes.

    Raises:
        InternalError: if any of this does not hold.
    """

    processors: tuple[str, ...]
    host: str
    tasks: tuple[Task, ...]
    tensors: tuple[Tensor, ...]
    links: tuple[Link, ...]
    converters: tuple[Converter, ...] = ()

    def __post_init__(self) -> None:
        _unique("processor", self.processors)
        _require(self.host in self.processors, f"host {self.host} is not among the processors")
        _unique("task", (task.name for task in self.tasks))
        _require(bool(self.tasks), "there are no tasks")
        for task in self.tasks:
            self._check_modes(task)
        _unique("tensor", (tensor.name for tensor in self.tensors))
        position = {task.name: i for i, task in enumerate(self.tasks)}
        for tensor in self.tensors:
            _check_tensor(tensor, position)
        pairs = [(link.source, link.target) for link in self.links]
        _unique("link", (f"{source}->{target}" for source, target in pairs))
        wanted = {(p, q) for p in self.processors for q in self.processors if p != q}
        _require(set(pairs) == wanted, f"links must join every two processors both ways, not {sorted(pairs)}")
        _unique("converter of", (converter.processor for converter in self.converters))
        ways: tuple[Link | Converter, ...] = (*self.links, *self.converters)
        for way in ways:
            speed = way.bytes_per_us
            _require(way.fixed_us >= 0 and speed > 0 and not math.isnan(speed), f"impossible {way}")
        _require(all(0 <= link.loading <= 1 for link in self.links), "a link's share of loading is none")

    def _check_modes(self, task: Task) -> None:
        _require(bool(task.modes), "it has no mode", task.name)
        places = (f"{mode.processor}{' in private memory' if mode.private else ''}" for mode in task.modes)
        _unique(f"mode of {task.name}", places)
        for mode in task.modes:
            _require(mode.processor in self.processors, f"unknown processor {mode.processor}", task.name)
            _require(isinstance(mode.length_us, int), f"times are whole microseconds, not {mode}", task.name)
            _require(mode.duration_us >= 0 and mode.launch_us >= 0, f"negative time in {mode}", task.name)
            _require(not mode.launch_us or mode.processor != self.host, "the host launches itself", task.name)
            convertible = not mode.private or mode.processor in {converter.processor for converter in self.converters}
            _require(convertible, f"{mode.processor} has no converter to private memory", task.name)

    def transfer_us(self, source: Place, target: Place, size_bytes: int) -> int:
        """Delay until data that were made in one place are visible in another; 0 within a place."""
        if source == target:
            return 0
        ends = [processor for processor, private in (source, target) if private]
        delay = sum(self._converters[processor].convert_us(size_bytes) for processor in ends)
        if source[0] != target[0]:
            delay += self._links[source[0], target[0]].transfer_us(size_bytes)
        return delay

    def loading_us(self, source: Place, target: Place, size_bytes: int) -> float:
        """The part of `transfer_us` for which the reader's processor is busy."""
        if source[0] == target[0]:
            return 0.0
        link = self._links[source[0], target[0]]
        return link.loading * link.transfer_us(size_bytes)

    @cached_property
    def _links(self) -> dict[tuple[str, str], Link]:
        return {(link.source, link.target): link for link in self.links}

    @cached_property
    def _converters(self) -> dict[str, Converter]:
        return {converter.processor: converter for converter in self.converters}

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Where results may lie: the shared memory of every processor, in their order, then what private there is."""
        private = [(mode.processor, True) for task in self.tasks for mode in task.modes if mode.private]
        return (*((name, False) for name in self.processors), *dict.fromkeys(private))


@dataclass(frozen=True)
class Transfer:
    """`tensor` crosses from `source` to `target`."""

    tensor: str
    source: str
    target: str
    start_us: int
    finish_us: int


@dataclass(frozen=True)
class Placement:
    """A schedule.

    Attributes:
        strategy: the name of the strategy that was asked.
        modes: task -> the mode it runs in, in the order of the problem's tasks; likewise `start_us`.
        makespan_us: when the last task finishes.
        lower_bound_us: proven: no schedule of the problem is shorter.
        status: ``optimal`` if the bound is met, else ``feasible``.
        transfers: what crosses between processors, by start.
    """

    strategy: str
    modes: dict[str, Mode]
    start_us: dict[str, int]
    makespan_us: int
    lower_bound_us: int
    status: str
    transfers: tuple[Transfer, ...]

    @property
    def gap(self) -> float:
        """How much shorter a schedule could possibly be, as a share of this one's makespan."""
        return (self.makespan_us - self.lower_bound_us) / self.makespan_us if self.makespan_us else 0.0

    def finish_us(self, task: str) -> int:
        return self.start_us[task] + self.modes[task].length_us


def _check_tensor(tensor: Tensor, position: dict[str, int]) -> None:
    _require(tensor.size_bytes >= 0, "negative size", tensor.name)
    _unique(f"consumer of {tensor.name}", tensor.consumers)
    for task in (tensor.producer, *tensor.consumers):
        _require(task in position, f"unknown task {task}", tensor.name)
    for consumer in tensor.consumers:
        _require(position[tensor.producer] < position[consumer], f"{consumer} stands before its producer", tensor.name)


def _unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        _require(name not in seen, f"{what} {name} is given twice")
        seen.add(name)


def _require(condition: bool, message: str, node: str | None = None) -> None:
    if not condition:
        raise InternalError("bad-problem", f"malformed problem: {message}", node=node)
