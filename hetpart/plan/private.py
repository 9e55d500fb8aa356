"""What lies in a processor's private memory, and the copies that lead into it and out of it.

Units that work in private memory (`Placed.private`) read and write feature maps there. A value is copied in before its
first private reader if somebody else made it, and copied out right after it was made if somebody else reads it. The
parts of a concatenation in place lie in place here, too, unless a unit would then read and write one image, which
OpenCL does not allow, or a part would not be aligned: such a concatenation is copied together.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hetpart.errors import InternalError
from hetpart.graph.assign import Assignment
from hetpart.graph.inplace import ALIGNMENT
from hetpart.graph.layout import TEXEL, Blocked, Image
from hetpart.plan.placed import Placed


@dataclass(frozen=True)
class Copy:
    """One copy between the shared and the private form of a value, or of a part into a concatenation.

    Attributes:
        kind: ``in``, ``out`` or ``join``.
        value: what is copied.
        whole: with ``join``, the concatenation, where it goes to channel `channel`.
    """

    kind: str
    value: str
    whole: str = ""
    channel: int = 0

    @property
    def unit(self) -> str:
        """What the copy is called where steps are listed."""
        way = {"in": "to private memory", "out": "from private memory", "join": f"into {self.whole}"}[self.kind]
        return f"({self.value} {way})"


@dataclass
class Borders:
    """The private side of a placement.

    Attributes:
        layouts: private form of every value that has one.
        roots: value -> the value whose private memory holds it (itself, or the concatenation that it is a part of).
        before, after: the copies around a unit, in order.
    """

    layouts: dict[str, Blocked] = field(default_factory=dict)
    roots: dict[str, str] = field(default_factory=dict)
    before: dict[str, list[Copy]] = field(default_factory=dict)
    after: dict[str, list[Copy]] = field(default_factory=dict)

    @property
    def copies(self) -> list[Copy]:
        return [copy for copies in (*self.before.values(), *self.after.values()) for copy in copies]


def find_borders(
    assignment: Assignment, placed: Placed, memory: str, storage: str, observe: tuple[str, ...] = ()
) -> Borders:
    """The borders of a placement of which one processor has private memory of that kind (see `OpenclCodegen`).

    Args:
        observe: further values that must be shared.
    """
    if not placed.private:
        return Borders()
    return _Finder(assignment, placed, memory, storage).find(observe)


class _Finder:
    def __init__(self, assignment: Assignment, placed: Placed, memory: str, storage: str) -> None:
        self.assignment, self.private = assignment, placed.private
        self.memory, self.storage = memory, storage
        self.order = sorted(
            (unit for unit in assignment.graph if unit.name in placed.start_us and unit.name not in assignment.free),
            key=lambda unit: placed.start_us[unit.name],
        )
        self.made = {
            value
            for unit in self.order
            if unit.name in self.private
            for value in unit.outputs
            if isinstance(assignment.layouts[value], Blocked)
        }
        self.apart: set[str] = set()  # concatenations whose parts lie elsewhere
        self.inside: set[str] = set()  # values that are in private memory already
        self.outside: set[str] = set()
        self.borders = Borders()

    def find(self, observe: tuple[str, ...]) -> Borders:
        self._part_conflicts()
        for unit in self.order:
            reads = self.assignment.kernel_reads(unit)
            if unit.name not in self.private:
                self._share(reads)
                continue
            maps = [value for value in reads if isinstance(self.assignment.layouts[value], Blocked)]
            self._share(tuple(value for value in reads if value not in maps))
            if copies := [copy for value in maps for copy in self._enter(value)]:
                self.borders.before[unit.name] = copies
            for value in unit.outputs:
                if value in self.made:
                    self._form(value)
        self._share((*self.assignment.ports.values(), *observe))
        return self.borders

    def _share(self, values: tuple[str, ...]) -> None:
        """Copies out what was made in private memory, right after it was made."""
        for value in values:
            for maker, part in self.assignment.written_parts(value):
                if maker is not None and part in self.made and part not in self.outside:
                    self.outside.add(part)
                    self.borders.after.setdefault(maker, []).append(Copy("out", part))

    def _enter(self, value: str) -> list[Copy]:
        """The copies that bring `value` into private memory."""
        if value in self.inside or value in self.made:
            return []
        self.inside.add(value)
        self._form(value)
        parts = self._parts(value)
        if not parts:
            self._share((value,))
            return [Copy("in", value)]
        copies = [copy for part, _ in parts for copy in self._enter(part)]
        if value in self.apart:
            copies += [Copy("join", part, value, channel) for part, channel in parts]
        return copies

    def _parts(self, value: str) -> list[tuple[str, int]]:
        """The inputs of a concatenation in place, with their first channels."""
        maker = self.assignment.graph.producer.get(value)
        if maker not in self.assignment.free or self.assignment.graph.units[maker].kind != "concat":
            return []
        parts, channel = [], 0
        for part in self.assignment.graph.units[maker].inputs:
            parts.append((part, channel))
            channel += self.assignment.graph.types[part].shape[1]
        return parts

    def _form(self, value: str) -> None:
        layout = self.assignment.layouts[value]
        if not isinstance(layout, Blocked):
            raise InternalError("layout-form", "only a map can lie in private memory", node=value)
        root, first = self._root(value)
        self.borders.roots[value] = root
        if self.memory == "image":
            self.borders.layouts[value] = Image.of(layout, self.storage, first)
        else:
            self.borders.layouts[value] = replace(layout, dtype=self.storage)

    def _root(self, value: str) -> tuple[str, int]:
        """The value whose private memory holds `value`, and the block of four channels at which it begins there."""
        first = 0
        while (part := self.assignment.slices.get(value)) is not None and part.whole not in self.apart:
            whole = self.assignment.layouts[part.whole]
            if not isinstance(whole, Blocked) or value not in dict(self._parts(part.whole)):
                break
            first += part.offset // (whole.size_bytes // whole.blocks) * whole.block // TEXEL
            value = part.whole
        return value, first

    def _part_conflicts(self) -> None:
        """Finds the concatenations that cannot be in place."""
        if self.memory == "buffer":
            self.apart.update(part.whole for part in self.assignment.slices.values() if part.offset // 2 % ALIGNMENT)
        found = True
        while found:
            found = False
            for unit in self.order:
                if unit.name not in self.private:
                    continue
                read = {self._root(v)[0] for v in unit.inputs if isinstance(self.assignment.layouts[v], Blocked)}
                for value in unit.outputs:
                    root, _ = self._root(value)
                    if root != value and root in read:
                        self.apart.add(self.assignment.slices[value].whole)
                        found = True
