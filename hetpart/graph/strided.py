"""Which row-major values need not be made: their readers find the elements in another value, by strides.

An attention layer makes query, key and value in one product, then reshapes, transposes and splits it. A product of two
activations reads its operands as they lie in that product, and a transposition reads from there as well, so that the
moves before it become one. Such a value is the view of a root, a value that a kernel makes; the units on the way from
the root to it move no data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set

import onnx_ir as ir

from hetpart.graph.layout import Plain, Strided
from hetpart.graph.units import Unit, UnitGraph

WINDOW_BYTES = 1 << 20
"""Rows of the right-hand side of a product that are further apart than their share of this are worth a copy."""


def strided_views(graph: UnitGraph, blocked: Set[str]) -> dict[str, tuple[str, Strided]]:
    """The values that become views, with their roots."""
    moved: set[str] = set()
    while True:
        views = _candidates(graph, blocked, moved)
        refused = {value for value in views if not _all_read(value, views, graph, blocked)}
        if not refused:
            return views
        moved |= refused


def _candidates(graph: UnitGraph, blocked: Set[str], moved: Set[str]) -> dict[str, tuple[str, Strided]]:
    """What could be a view by how it is made, but for the values `moved`."""
    views: dict[str, tuple[str, Strided]] = {}
    for unit in graph:
        if len(unit.inputs) != 1 or not blocked.isdisjoint((*unit.inputs, *unit.outputs)):
            continue
        (data,) = unit.inputs
        if unit.kind == "view" and data not in views:
            continue  # the same bytes, in order
        root, given = views.get(data, (data, Plain(graph.types[data].shape, graph.types[data].dtype)))
        for out in unit.outputs:
            if out not in moved and (view := _through(unit, given, graph)) is not None:
                views[out] = root, view
    return views


def _all_read(value: str, views: Mapping[str, tuple[str, Strided]], graph: UnitGraph, blocked: Set[str]) -> bool:
    """Whether all readers of `value` can do with its view."""
    view, readers = views[value][1], [graph.units[name] for name in graph.consumers.get(value, ())]
    if not readers or value in graph.outputs:
        return False
    for unit in readers:
        if unit.outputs[0] in views:
            continue
        if unit.kind == "transpose" and unit.outputs[0] not in blocked:
            if any(extent > 1 and stride == 1 for extent, stride in zip(view.shape, view.strides, strict=True)):
                continue
            return False
        if unit.kind != "matmul" or value in unit.operands or len(view.shape) < 2 or view.strides[-1] != 1:
            return False
        right = unit.anchor.inputs[1]
        if right is not None and value == right.name and 4 * view.shape[-2] * view.strides[-2] > WINDOW_BYTES:
            return False
    return True


def _through(unit: Unit, given: Plain, graph: UnitGraph) -> Strided | None:
    """The view that `unit` makes of its input, if all that it does is to move elements to other indices."""
    out = graph.types[unit.outputs[0]]
    start, strides = given.start, given.strides
    if unit.kind == "transpose":
        perm = unit.anchor.attributes.get_ints("perm", tuple(reversed(range(len(given.shape)))))
        strides = tuple(strides[axis] for axis in perm)
    elif unit.kind == "view":
        split = _reshaped(given.shape, strides, out.shape)
        if split is None:
            return None
        strides = split
    elif unit.kind == "other" and unit.anchor.op_type == "Gather" and len(unit.nodes) == 1:
        index = _scalar(unit.anchor.inputs[1], graph)
        if index is None:
            return None
        axis = unit.anchor.attributes.get_int("axis", 0) % len(given.shape)
        start += index % given.shape[axis] * strides[axis]
        strides = strides[:axis] + strides[axis + 1 :]
    else:
        return None
    return Strided(out.shape, out.dtype, math.prod(given.physical_shape), start, strides)


def _scalar(value: ir.Value | None, graph: UnitGraph) -> int | None:
    """A constant index without axes."""
    if value is None or not graph.is_constant(value.name or "") or value.shape is None or len(value.shape):
        return None
    return int(graph.constant(value.name or ""))


def _reshaped(shape: tuple[int, ...], strides: tuple[int, ...], out: tuple[int, ...]) -> tuple[int, ...] | None:
    """The strides of a reshaped view, None if there are none."""
    runs: list[list[int]] = []  # (extent, stride) of stretches with one stride, outermost first
    for extent, stride in zip(shape, strides, strict=True):
        if extent == 1:
            continue
        if runs and runs[-1][1] == extent * stride:
            runs[-1] = [runs[-1][0] * extent, stride]
        else:
            runs.append([extent, stride])
    found = []
    for extent in reversed(out):
        if extent == 1:
            found.append(0)
            continue
        if not runs or runs[-1][0] % extent:
            return None
        found.append(runs[-1][1])
        runs[-1] = [runs[-1][0] // extent, runs[-1][1] * extent]
        if runs[-1][0] == 1:
            runs.pop()
    return tuple(reversed(found))
