"""Labels on every index of every axis of every tensor: indices with one label can only be removed together.

An axis of length n carries n labels. The rules of the operators (hetpart.passes.pruning.rules) say which labels must be
equal; here they are joined, with a note of the node that joined them, or frozen, with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import onnx_ir as ir

from hetpart.passes.edit import shape_of

Labels = np.ndarray[Any, np.dtype[np.int64]]

FIXED = 0
"""The label of everything that stays: batch, space, what a rule does not follow."""


class Role(Enum):
    """What an axis of a constant does with a channel."""

    FILTER = "makes"  # an output channel of a weight, and its bias
    INPUT = "reads"  # sums over it: zeros here hide the channel
    VECTOR = "scales"  # works on it alone: a depthwise filter, a slope, a scale


@dataclass(frozen=True)
class Coupling:
    """Two channels were joined, by what a node does."""

    node: str
    op: str


@dataclass
class Labelling:
    """The labels of one graph.

    Attributes:
        axes: per value, the labels of each of its axes.
        roles: what the axes of constants do, by (constant, axis).
    """

    axes: dict[ir.Value, list[Labels]] = field(default_factory=dict)
    roles: dict[tuple[ir.Value, int], Role] = field(default_factory=dict)
    _parent: list[int] = field(default_factory=lambda: [FIXED])
    _frozen: dict[int, str] = field(default_factory=dict)
    _couplings: dict[int, list[Coupling]] = field(default_factory=dict)

    def on(self, graph: ir.Graph) -> dict[ir.Value, list[Labels]]:
        """The labels of the axes of a copy of the graph, whose values have the same names."""
        values = [*graph.inputs, *graph.initializers.values(), *(v for node in graph for v in node.outputs if v.name)]
        own = {value.name: axes for value, axes in self.axes.items()}
        return {value: own[value.name] for value in values if value.name in own}

    def fresh(self, count: int) -> Labels:
        """`count` labels that nothing shares yet."""
        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        return np.arange(first, first + count, dtype=np.int64)

    def of(self, value: ir.Value) -> list[Labels]:
        """Labels of a value; a constant gets fresh ones when it is first asked for."""
        if value not in self.axes:
            self.axes[value] = [self.fresh(extent) if extent > 1 else fixed(extent) for extent in shape_of(value)]
        return self.axes[value]

    def root(self, label: int) -> int:
        """The label that stands for all that were joined with `label`."""
        parent = self._parent
        while parent[label] != label:
            parent[label] = parent[parent[label]]
            label = parent[label]
        return label

    def table(self) -> Labels:
        """Label to root, for all labels at once."""
        table = np.array(self._parent, np.int64)
        while not np.array_equal(table, above := table[table]):
            table = above
        return table

    def join(self, left: Labels, right: Labels, node: ir.Node) -> None:
        """Say that `left[i]` and `right[i]` go together because of `node`; with a fixed one, the other is frozen."""
        for a, b in zip(left.tolist(), right.tolist(), strict=True):
            a, b = self.root(a), self.root(b)
            if a == b:
                continue
            if FIXED in (a, b):
                self._frozen.setdefault(a or b, f"{node.op_type} '{node.name}' ties it to what stays")
                continue
            self._parent[b] = a
            self._couplings.setdefault(a, []).extend(self._couplings.pop(b, []))
            self._couplings[a].append(Coupling(node.name or "", node.op_type))
            if b in self._frozen:
                self._frozen.setdefault(a, self._frozen.pop(b))

    def freeze(self, labels: Labels, reason: str) -> None:
        """Say that these stay."""
        for label in {self.root(label) for label in labels.tolist()} - {FIXED}:
            self._frozen.setdefault(label, reason)

    def frozen(self, root: int) -> str | None:
        """Why the channel stays; None if it may go."""
        return "it is no channel" if root == FIXED else self._frozen.get(root)

    def couplings(self, root: int) -> list[Coupling]:
        return self._couplings.get(root, [])


def fixed(extent: int) -> Labels:
    """The labels of an axis that stays as it is."""
    return np.zeros(extent, np.int64)
