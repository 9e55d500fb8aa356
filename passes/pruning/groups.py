"""Groups of channels that can only be removed together, found from the labels of a graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from hetpart.errors import InternalError
from hetpart.passes.edit import Array, constant
from hetpart.passes.pruning.labels import FIXED, Coupling, Labelling, Labels, Role


@dataclass(frozen=True)
class Part:
    """One axis of one constant that a group runs along.

    Attributes:
        node: the node that uses the constant.
        value: the constant.
        axis: its axis.
        role: what the axis does with the channels.
        positions: [channels, copies]: where on the axis each channel of the group lies.
    """

    node: str
    value: ir.Value
    axis: int
    role: Role
    positions: np.ndarray[tuple[int, int], np.dtype[np.int64]]

    def data(self) -> Array:
        """The constant's numbers."""
        data = constant(self.value)
        if data is None:
            raise InternalError("no-data", "a constant that channels lie on has no data", node=self.value.name)
        return data


@dataclass(frozen=True, eq=False)
class Group:
    """Channels that are alike: made, scaled and read by the same constants, each removable without the others.

    Attributes:
        name: the node that makes them, the first if several do.
        labels: [channels], what stands for them in the labelling.
        parts: every axis they lie on.
        frozen: why they stay; None if they may go.
        couplings: the nodes that tie several layers' channels to each other, in order, each once.
    """

    name: str
    labels: Labels
    parts: tuple[Part, ...]
    frozen: str | None
    couplings: tuple[Coupling, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def copies(self) -> int:
        """Channels of the first maker's output that one channel of the group stands for (groups, head length).

        1 if not all stand for equally many; such a group is frozen.
        """
        return next((part.positions.shape[1] for part in self.parts if part.role is Role.FILTER), 1)


def find_groups(graph: ir.Graph, labelling: Labelling) -> list[Group]:
    """All groups that some layer makes, in the order of the graph, frozen ones among them."""
    axes = list(_axes(graph, labelling))
    maker: dict[int, str] = {}
    places: dict[int, list[int]] = {}
    for index, axis in enumerate(axes):
        for root in axis.positions:
            places.setdefault(root, []).append(index)
            if axis.role is Role.FILTER:
                maker.setdefault(root, axis.node)
    alike: dict[tuple[tuple[int, ...], str | None], list[int]] = {}
    for root in maker:  # in the order of the graph
        alike.setdefault((tuple(places[root]), labelling.frozen(root)), []).append(root)
    return [
        _group(maker[roots[0]], roots, [axes[index] for index in indices], frozen, labelling)
        for (indices, frozen), roots in alike.items()
    ]


@dataclass(frozen=True)
class _Axis:
    """An axis of a constant: the node that uses it, and where on it each root lies."""

    node: str
    value: ir.Value
    axis: int
    role: Role
    positions: dict[int, Labels]


def _axes(graph: ir.Graph, labelling: Labelling) -> Iterator[_Axis]:
    """The axes of all constants that do something with channels."""
    table = labelling.table()
    seen: set[ir.Value] = set()
    for node in graph:
        for value in node.inputs:
            if value is None or value in seen:
                continue
            seen.add(value)
            for axis, labels in enumerate(labelling.axes.get(value, ())):
                role = labelling.roles.get((value, axis))
                if role is not None:
                    yield _Axis(node.name or "", value, axis, role, _positions(table[labels]))


def _positions(roots: Labels) -> dict[int, Labels]:
    """Root to the ascending positions at which it stands, in the order of the first of them."""
    order = np.argsort(roots, kind="stable")
    starts = np.flatnonzero(np.diff(roots[order], prepend=-1))
    runs = sorted(np.split(order, starts[1:]), key=lambda run: int(run[0])) if len(roots) else []
    return {root: run for run in runs if (root := int(roots[run[0]])) != FIXED}


def _group(name: str, roots: list[int], axes: list[_Axis], frozen: str | None, labelling: Labelling) -> Group:
    parts = []
    for axis in axes:
        rows = [axis.positions[root] for root in roots]
        if len({len(row) for row in rows}) > 1:
            frozen = frozen or f"its channels lie unequally often in '{axis.value.name}'"
        else:
            parts.append(Part(axis.node, axis.value, axis.axis, axis.role, np.stack(rows)))
    if frozen is None and not any(part.role is Role.INPUT for part in parts):
        frozen = "no weight reads it"
    couplings = dict.fromkeys(c for root in roots for c in labelling.couplings(root))
    return Group(name, np.array(roots, np.int64), tuple(parts), frozen, tuple(couplings))
