"""Concatenation without copies: the makers of its inputs write straight into slices of its output.

An input can lie in place if it is made by a kernel (not a model input or a view), goes into no other slice, and starts
on a channel block and on an aligned byte. Later (larger) concats choose first; a concat whose inputs are neighbours
inside one that is already placed becomes a slice of it, which makes DenseNet's growing concats free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hetpart.graph.layout import Blocked, Halo, Layout
from hetpart.graph.units import Unit, UnitGraph

ALIGNMENT = 128
"""Bytes. OpenCL sub-buffers must start on CL_DEVICE_MEM_BASE_ADDR_ALIGN, 1024 bits on the devices we target."""


@dataclass(frozen=True)
class Slice:
    """A value that occupies the bytes of `whole` from `offset` on."""

    whole: str
    offset: int


@dataclass
class Pieces:
    """Which values lie where inside which concat output, in channels.

    Attributes:
        at: value -> (concat output, first channel).
        placed: concat units that were considered and stay blocked, with the values that they must still copy.
    """

    at: dict[str, tuple[str, int]] = field(default_factory=dict)
    placed: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def copied(self, unit: Unit) -> tuple[str, ...]:
        """The inputs that the concat unit copies into its output."""
        return self.placed[unit.name]

    def whole(self, value: str) -> str:
        """The outermost output that `value` is part of."""
        while value in self.at:
            value = self.at[value][0]
        return value

    def share_halo(self, layouts: dict[str, Layout]) -> dict[str, Layout]:
        """Gives all pieces of one output the same halo, and a row width that aligns every piece."""
        groups: dict[str, set[str]] = {}
        for value in self.at:
            groups.setdefault(self.whole(value), set()).add(value)
        for whole, members in groups.items():
            family = [layouts[v] for v in (whole, *sorted(members))]
            halo = Halo()
            for form in family:
                if isinstance(form, Blocked):
                    halo = halo.union(form.halo)
            base = layouts[whole]
            if not isinstance(base, Blocked):
                continue
            starts = {self.at[v][1] // base.block for v in members}
            while any(start * _plane_bytes(base, halo) % ALIGNMENT for start in starts):
                halo = replace(halo, right=halo.right + 1)
            for value in (whole, *members):
                form = layouts[value]
                if isinstance(form, Blocked):
                    layouts[value] = replace(form, halo=halo, fill=base.fill)
        return layouts

    def resolve(self, layouts: Mapping[str, Layout]) -> dict[str, Slice]:
        """Byte offsets of all pieces."""
        slices = {}
        for value, (whole, channel) in self.at.items():
            form = layouts[whole]
            if isinstance(form, Blocked):
                slices[value] = Slice(whole, channel // form.block * _plane_bytes(form, form.halo))
        return slices


def _plane_bytes(form: Blocked, halo: Halo) -> int:
    """Bytes of one channel block."""
    return replace(form, n=1, c=form.block, halo=halo).size_bytes


def place_concats(
    graph: UnitGraph,
    blocked: set[str],
    reads: Mapping[tuple[str, str], str],
    fills: Mapping[str, int],
    block: int,
) -> Pieces:
    """Chooses the slices; channel offsets only, bytes follow once halos are known.

    `fills` are the zero points that the halos of quantised maps must hold: a piece has the halo of its whole.
    """
    pieces = Pieces()
    for unit in reversed(list(graph)):
        if unit.kind != "concat" or unit.outputs[0] not in blocked:
            continue
        out = unit.outputs[0]
        parts = [reads.get((unit.name, v.name or ""), v.name or "") for v in unit.anchor.inputs if v is not None]
        inner = _neighbours(parts, graph, pieces)
        if inner is not None and out not in pieces.at and fills.get(out, fills.get(inner[0])) == fills.get(inner[0]):
            pieces.at[out] = inner
            pieces.placed[unit.name] = ()
            continue
        copied = []
        channel = 0
        single = graph.types[out].shape[0] == 1
        for value in parts:
            alone = parts.count(value) == 1 and fills.get(value, fills.get(out)) == fills.get(out)
            if single and channel % block == 0 and alone and _may_move(value, graph, pieces):
                pieces.at[value] = (out, channel)
            else:
                copied.append(value)
            channel += graph.types[value].shape[1]
        pieces.placed[unit.name] = tuple(dict.fromkeys(copied))
    return pieces


def _may_move(value: str, graph: UnitGraph, pieces: Pieces) -> bool:
    return value not in pieces.at and value in graph.producer


def _neighbours(parts: list[str], graph: UnitGraph, pieces: Pieces) -> tuple[str, int] | None:
    """If `parts` already lie side by side, in order, inside one output: that output and the first channel."""
    if any(v not in pieces.at for v in parts):
        return None
    whole, first = pieces.at[parts[0]]
    channel = first
    for value in parts:
        if pieces.at[value] != (whole, channel):
            return None
        channel += graph.types[value].shape[1]
    return whole, first
