"""How long a placement takes when its circumstances are not those that it was made for.

Every processor keeps its order of tasks and starts each as soon as it can; transfers and durations are those of the
problem at hand, which may differ from the one that was solved. Kernels that run at the same time share the memory's
bandwidth: while another processor computes, a kernel takes its processor's `contention` times as long. The first kernel
that reads what another processor made takes longer by the `loading` of the link, whether it had to wait or not.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from hetpart.errors import InternalError
from hetpart.partition.problem import Mode, Place, Placement, Problem, Tensor

_NEVER = math.inf
_ROUNDING_US = 1e-6


def replay(problem: Problem, placement: Placement, contention: Mapping[str, float] | None = None) -> int:
    """The makespan in microseconds, rounded up.

    Args:
        problem: has the tasks, and for each of them a mode at the place where it runs in `placement`.
        placement: where tasks run, and in which order.
        contention: processor -> factor on the time of its kernels while another processor computes; 1 if not named.

    Raises:
        InternalError: ``replay-stuck`` if `placement` is none of `problem`.
    """
    run = _Run(problem, placement, dict(contention or {}))
    while run.advance():
        pass
    if run.unfinished:
        raise InternalError("replay-stuck", "the order of the placement cannot be kept", node=min(run.unfinished))
    return math.ceil(run.time - _ROUNDING_US)


@dataclass
class _Running:
    task: str
    mode: Mode
    launch: float
    work: float


@dataclass
class _Run:
    """The clock and all that is under way; a queue holds the tasks of a processor that have not left it, in order."""

    problem: Problem
    placement: Placement
    contention: dict[str, float]
    time: float = 0.0
    running: dict[str, _Running] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = {name: mode.place for name, mode in self.placement.modes.items()}
        self.modes = {t.name: next(m for m in t.modes if m.place == place[t.name]) for t in self.problem.tasks}
        self.missing = dict.fromkeys(self.modes, 0)
        self.ready = dict.fromkeys(self.modes, 0.0)
        self.made: dict[str, list[Tensor]] = {name: [] for name in self.modes}
        self.read: dict[str, list[Tensor]] = {name: [] for name in self.modes}
        self.loaded: set[tuple[str, str]] = set()  # tensors and processors
        for tensor in self.problem.tensors:
            self.made[tensor.producer].append(tensor)
            for consumer in tensor.consumers:
                self.missing[consumer] += 1
                self.read[consumer].append(tensor)
        self.queues: dict[str, deque[str]] = {name: deque() for name in self.problem.processors}
        start = self.placement.start_us
        for name in sorted(self.modes, key=lambda name: start[name]):  # stable: ties in topological order
            for processor in self._held(name):
                self.queues[processor].append(name)
        self.unfinished = set(self.modes)
        self.instant = [name for name, mode in self.modes.items() if not mode.length_us]

    def advance(self) -> bool:
        """To the next event; False when nothing is left to do."""
        while self._start():
            pass
        factors = self._factors()
        waiting = [self.ready[name] for name in self._candidates() if self.ready[name] > self.time]
        left = {p: each.launch or each.work * factors[p] for p, each in self.running.items()}
        step = min([*left.values(), *(ready - self.time for ready in waiting)], default=_NEVER)
        if step == _NEVER:
            return False
        self.time += step
        for processor, each in list(self.running.items()):
            done = left[processor] - step <= _ROUNDING_US
            if each.launch:
                each.launch = 0.0 if done else each.launch - step
                if done:
                    self.queues[self.problem.host].popleft()
            else:
                each.work = 0.0 if done else each.work - step / factors[processor]
            if not each.launch and not each.work:
                del self.running[processor]
                self.queues[processor].popleft()
                self._finish(each.task)
        return True

    def _start(self) -> bool:
        """Starts what can start now; whether anything did."""
        for name in self._candidates():
            if self.ready[name] <= self.time + _ROUNDING_US:
                mode = self.modes[name]
                if mode.length_us:
                    work_us = mode.duration_us + self._load(name)
                    self.running[mode.processor] = _Running(name, mode, float(mode.launch_us), work_us)
                else:
                    self.instant.remove(name)
                    self._finish(name)
                return True
        return False

    def _candidates(self) -> list[str]:
        """Tasks that only wait for their data: those without length, and those whose processors are free for them."""
        heads = {self.modes[queue[0]].processor: queue[0] for queue in self.queues.values() if queue}
        free = [name for processor, name in heads.items() if processor not in self.running and self._is_next(name)]
        return [name for name in (*self.instant, *free) if not self.missing[name]]

    def _is_next(self, name: str) -> bool:
        return all(self.queues[p][0] == name and p not in self.running for p in self._held(name))

    def _held(self, name: str) -> list[str]:
        """The processors that a task occupies: its own, and the host while it is launched."""
        mode = self.modes[name]
        held = [mode.processor] if mode.length_us else []
        return [*held, self.problem.host] if mode.launch_us else held

    def _load(self, name: str) -> float:
        """How much longer a task takes because nobody on its processor has read its inputs before."""
        place = self.modes[name].place
        sizes: dict[Place, int] = {}  # by where they were made; one law for all from there, as it was measured
        for tensor in self.read[name]:
            if (tensor.name, place[0]) not in self.loaded:
                self.loaded.add((tensor.name, place[0]))
                made = self.modes[tensor.producer].place
                sizes[made] = sizes.get(made, 0) + tensor.size_bytes
        return sum(self.problem.loading_us(made, place, size_bytes) for made, size_bytes in sizes.items())

    def _factors(self) -> dict[str, float]:
        computing = [processor for processor, each in self.running.items() if not each.launch]
        shared = len(computing) > 1
        return {p: self.contention.get(p, 1.0) if shared and p in computing else 1.0 for p in self.running}

    def _finish(self, name: str) -> None:
        self.unfinished.remove(name)
        for tensor in self.made[name]:
            for consumer in tensor.consumers:
                mode = self.modes[consumer]
                way = self.modes[name].place, mode.place, tensor.size_bytes
                delay = self.problem.transfer_us(*way) - (self.problem.loading_us(*way) if mode.length_us else 0.0)
                self.missing[consumer] -= 1
                self.ready[consumer] = max(self.ready[consumer], self.time + delay)
