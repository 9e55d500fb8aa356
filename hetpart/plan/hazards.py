"""Who touches which bytes of the arena, in which order: the memory half of the check of a `Plan`.

The arena is cut where any buffer starts or ends, and so is each image, by columns. On each of the pieces, with
happens-before as the only order:

* any two writers are ordered, and each is ordered with every reader;
* no step reads bytes under one value and writes them under another: kernels assume that their arguments are apart;
* a reader finds bytes that were last written under its own value (same root), and by somebody;
* a processor sees what it wrote itself and what a transfer brought from a processor that saw it.

A kernel that writes a whole value of which other steps write slices in place (a partly copied concatenation) fills in
the rest: on the slices its write must be ordered with theirs, but the content there is theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

from hetpart.errors import InternalError
from hetpart.plan.order import Turn, happens_before
from hetpart.plan.plan import Buffer, Plan


@dataclass(frozen=True, eq=False)
class _Access:
    """One step's use of one buffer.

    `at` is the step's place in the execution order, with the application's filling of the inputs as number 0 and its
    look at the outputs as the last. `source` is set for a transfer, which reads on behalf of `processor`.
    """

    at: int
    processor: str
    unit: str
    buffer: Buffer
    writes: bool
    source: str | None = None

    @cached_property
    def root(self) -> str:
        return self.buffer.root or self.buffer.name


def check_hazards(plan: Plan, host: str, turns: list[Turn]) -> None:
    """Raises InternalError ``bad-plan`` unless every kernel reads what is meant for it, on every timing."""
    everything = (1 << len(turns) + 1) - 1
    before = [0, *(mask << 1 | 1 for mask in happens_before(turns)), everything]
    for accesses in _pieces(_accesses(plan, host, turns)):
        _Piece(accesses, before).check()


def _accesses(plan: Plan, host: str, turns: list[Turn]) -> Iterator[_Access]:
    buffers = plan.buffers
    for port in plan.inputs:
        yield _Access(0, host, port.name, buffers[port.buffer], True)
    for at, turn in enumerate(turns, start=1):
        step = turn.step
        for transfer in step.transfers:
            yield _Access(at, turn.processor, step.unit, buffers[transfer.buffer], False, transfer.source)
        for position, index in enumerate(step.args):
            if buffers[index].space in ("arena", "image"):
                yield _Access(at, turn.processor, step.unit, buffers[index], position in step.writes)
    for port in plan.outputs:
        yield _Access(len(turns) + 1, host, port.name, buffers[port.buffer], False)


def _pieces(accesses: Iterator[_Access]) -> Iterator[list[_Access]]:
    """The accesses to each piece of the arena or of an image between two neighbouring ends of buffers."""
    spaces: dict[int, list[_Access]] = {}
    for access in accesses:
        spaces.setdefault(access.buffer.image, []).append(access)
    for inside in spaces.values():
        yield from _sweep(inside)


def _sweep(accesses: list[_Access]) -> Iterator[list[_Access]]:
    starting: dict[int, list[_Access]] = {}
    ending: dict[int, set[_Access]] = {}
    for access in accesses:
        if access.buffer.size:
            starting.setdefault(access.buffer.offset, []).append(access)
            ending.setdefault(access.buffer.offset + access.buffer.size, set()).add(access)
    active: list[_Access] = []
    for offset in sorted({*starting, *ending}):
        gone = ending.get(offset, set())
        active = [access for access in active if access not in gone] + starting.get(offset, [])
        if active:
            yield active


class _Piece:
    """The accesses to bytes that every buffer holds entirely or not at all."""

    def __init__(self, accesses: list[_Access], before: list[int]) -> None:
        self.before = before
        self.writers = sorted((a for a in accesses if a.writes), key=lambda access: access.at)
        self.readers = [a for a in accesses if not a.writes]
        self.transfers = [a for a in accesses if a.source is not None]
        smallest: dict[str, int] = {}
        for writer in self.writers:
            smallest[writer.root] = min(writer.buffer.size, smallest.get(writer.root, writer.buffer.size))
        self.makers = [writer for writer in self.writers if writer.buffer.size == smallest[writer.root]]

    def check(self) -> None:
        for i, second in enumerate(self.writers[1:]):
            first = self.writers[i]
            if not self._ordered(first, second):
                _fail(f"{_name(first)} and {_name(second)} both write it, in no certain order", second)
        for reader in self.readers:
            for maker in self.makers:
                if maker.at != reader.at and not self._ordered(maker, reader) and not self._ordered(reader, maker):
                    _fail(f"{_name(maker)} may write there before or after", reader)
            if reader.source is None:
                for writer in self.writers:
                    if writer.at == reader.at and writer.root != reader.root:
                        _fail(f"writes {writer.buffer.name} there in the same step", reader)
            last = self._last_maker(reader)
            if last is None:
                _fail("nobody has written it before", reader)
            if last.root != reader.root:
                _fail(f"{_name(last)} has overwritten it", reader)
            if not self._sees(reader, last):
                wrong = reader.source or reader.processor
                _fail(f"what {_name(last)} wrote on {last.processor} has not been brought to {wrong}", reader)

    def _ordered(self, first: _Access, second: _Access) -> bool:
        return bool(self.before[second.at] >> first.at & 1)

    def _last_maker(self, reader: _Access) -> _Access | None:
        """Makers are in one line, so the last before `reader` is the one with the highest number."""
        return next((maker for maker in reversed(self.makers) if self._ordered(maker, reader)), None)

    def _sees(self, reader: _Access, last: _Access) -> bool:
        """Whether the processor that `reader` reads from holds what `last` wrote."""
        if reader.source is not None:
            return self._holds(reader.source, reader, last)
        return self._holds(reader.processor, reader, last, inclusive=True)

    def _holds(self, processor: str, when: _Access, last: _Access, *, inclusive: bool = False) -> bool:
        """Whether `processor` wrote it or had it transferred before `when` (`inclusive`: by the same step)."""
        if processor == last.processor:
            return True
        return any(
            self._ordered(last, transfer)
            and (self._ordered(transfer, when) or (inclusive and transfer.at == when.at))
            and self._sees(transfer, last)
            for transfer in self.transfers
            if transfer.processor == processor
        )


def _name(access: _Access) -> str:
    return f"{access.unit} ({access.processor})"


def _fail(message: str, access: _Access) -> NoReturn:
    verb = "writes" if access.writes else "transfers" if access.source else "reads"
    raise InternalError(
        "bad-plan",
        f"the plan is wrong: {access.unit} on {access.processor} {verb} {access.buffer.name}, but {message}",
        node=access.unit,
    )
