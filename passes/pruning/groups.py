"""Groups of channels that can only be removed together, found from the labels of a graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from hetpart.passes.pruning.labels import FIXED, Coupling, Labelling, Labels, Role


@dataclass(frozen=True)
class Part:
    """One axis of one constant that a group runs along.

    Attributes:
        value: the constant.
        axis: its axis.
        role: what the axis does with the channels.
        positions: [channels, copies]: where on the axis each channel of the group lies.
    """

    value: ir.Value
    axis: int
    role: Role
    positions: np.ndarray[tuple[int, int], np.dtype[np.int64]]


@dataclass(frozen=True)
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
        """Channels of the first maker's output that one channel of the group stands for (groups, head length)."""
        return next(part.positions.shape[1] for part in self.parts if part.role is Role.FILTER)


def find_groups(graph: ir.Graph, labelling: Labelling) -> list[Group]:
    """All groups that some layer makes, in the order of the graph, frozen ones among them."""
    axes: list[tuple[ir.Value, int, Role, Labels]] = []
    maker: dict[int, str] = {}
    seen: set[tuple[ir.Value, int]] = set()
    for node in graph:
        for value in node.inputs:
            for axis in range(len(labelling.axes.get(value, ())) if value is not None else 0):
                if value is None or (role := labelling.roles.get((value, axis))) is None or (value, axis) in seen:
                    continue
                seen.add((value, axis))
                roots = labelling.roots(labelling.axes[value][axis])
                axes.append((value, axis, role, roots))
                if role is Role.FILTER:
                    for root in roots.tolist():
                        maker.setdefault(root, node.name or "")
    places: dict[int, list[int]] = {}
    for index, (_, _, _, roots) in enumerate(axes):
        for root in set(roots.tolist()) - {FIXED}:
            places.setdefault(root, []).append(index)
    alike: dict[tuple[tuple[int, ...], str | None], list[int]] = {}
    for root in maker:  # in the order of the graph
        if root != FIXED:
            alike.setdefault((tuple(places[root]), labelling.frozen(root)), []).append(root)
    return [
        _group(maker[roots[0]], roots, [axes[i] for i in indices], frozen, labelling)
        for (indices, frozen), roots in alike.items()
    ]


def _group(
    name: str,
    roots: list[int],
    axes: list[tuple[ir.Value, int, Role, Labels]],
    frozen: str | None,
    labelling: Labelling,
) -> Group:
    parts = []
    for value, axis, role, own in axes:
        order = np.argsort(own, kind="stable")
        inside = order[np.isin(own[order], roots)]
        by_root = {root: inside[own[inside] == root] for root in roots}
        if len({len(where) for where in by_root.values()}) > 1:
            frozen = frozen or f"its channels lie unequally often in '{value.name}'"
            continue
        parts.append(Part(value, axis, role, np.stack([by_root[root] for root in roots])))
    if frozen is None and not any(part.role is Role.INPUT for part in parts):
        frozen = "no weight reads it"
    couplings = dict.fromkeys(c for root in roots for c in labelling.couplings(root))
    return Group(name, np.array(roots, np.int64), tuple(parts), frozen, tuple(couplings))
