"""How large a network is: parameters and multiply-adds. Every report that states them counts here."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hetpart.cost.work import node_macs
from hetpart.graph.units import UnitGraph

_NOT_COUNTED = ("int64", "bool")
"""Element types of shapes, axes, indices and masks."""


@dataclass(frozen=True)
class Size:
    """Of one network.

    Attributes:
        parameters: numbers in constants with an axis; tied weights count once, shapes and indices do not count.
        macs: multiply-adds of convolutions and matrix products in one inference.
    """

    parameters: int
    macs: int

    @property
    def flops(self) -> int:
        """Two for each multiply-add, as is usual; elementwise arithmetic is not counted."""
        return 2 * self.macs


def model_size(graph: UnitGraph) -> Size:
    """The size of the network behind `graph`, from shapes alone."""
    tensors = {}
    for value in graph.model.graph.initializers.values():
        kind = "" if value.dtype is None else str(value.dtype.numpy())
        if value.shape is not None and len(value.shape) and kind not in _NOT_COUNTED:
            # passes that only claim a new shape keep the data, so the shape counts
            tensors[id(value.const_value), tuple(value.shape.numpy())] = math.prod(value.shape.numpy())
    macs = sum(node_macs(node, graph) for unit in graph for node in unit.nodes)
    return Size(sum(tensors.values()), macs)
