"""What operators that only move elements say of channels: transposes, reshapes, slices, concatenations and the like."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import onnx_ir as ir

from hetpart.passes.edit import attribute, integers, operand, shape_of
from hetpart.passes.pruning.labels import FIXED, Labelling, Labels, fixed


def _data(node: ir.Node, labels: Labelling) -> list[Labels]:
    value = node.inputs[0]
    return [] if value is None else labels.of(value)


def _transpose(node: ir.Node, labels: Labelling) -> bool:
    found = _data(node, labels)
    order = attribute(node, "perm", tuple(reversed(range(len(found)))))
    labels.axes[node.outputs[0]] = [found[axis] for axis in order]
    return True


def _concat(node: ir.Node, labels: Labelling) -> bool:
    axis = attribute(node, "axis", 0) % len(shape_of(node.outputs[0]))
    operands = [labels.of(value) for value in node.inputs if value is not None]
    result = list(operands[0])
    for other in operands[1:]:
        for index, own in enumerate(other):
            if index != axis:
                labels.join(result[index], own, node)
    result[axis] = np.concatenate([own[axis] for own in operands])
    labels.axes[node.outputs[0]] = result
    return True


def _split(node: ir.Node, labels: Labelling) -> bool:
    found = _data(node, labels)
    axis = attribute(node, "axis", 0) % len(found)
    start = 0
    for value in node.outputs:
        extent = shape_of(value)[axis]
        labels.axes[value] = [*found[:axis], found[axis][start : start + extent], *found[axis + 1 :]]
        start += extent
    return True


def _slice(node: ir.Node, labels: Labelling) -> bool:
    """Starts and ends of an axis that loses channels are counted anew, so its step must be 1."""
    found = list(_data(node, labels))
    starts, ends = integers(operand(node, 1)), integers(operand(node, 2))
    if starts is None or ends is None:
        return False
    axes = integers(operand(node, 3)) or tuple(range(len(starts)))
    steps = integers(operand(node, 4)) or (1,) * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step != 1:
            labels.freeze(found[axis], f"Slice '{node.name}' takes every {step}th of it")
            found[axis] = fixed(shape_of(node.outputs[0])[axis])
        else:
            found[axis] = found[axis][slice(start, end)]
    labels.axes[node.outputs[0]] = found
    return True


def _gather(node: ir.Node, labels: Labelling) -> bool:
    found = _data(node, labels)
    indices = node.inputs[1]
    if indices is None:
        return False
    axis = attribute(node, "axis", 0) % len(found)
    labels.freeze(found[axis], f"Gather '{node.name}' picks from it")
    for own in labels.of(indices):
        labels.freeze(own, f"Gather '{node.name}' reads it as indices")
    picked = [fixed(extent) for extent in shape_of(indices)]
    labels.axes[node.outputs[0]] = [*found[:axis], *picked, *found[axis + 1 :]]
    return True


def _same_where_equal(node: ir.Node, labels: Labelling) -> bool:
    """Resize, Pad, Expand, Tile: an axis that they change stays."""
    found, after = _data(node, labels), shape_of(node.outputs[0])
    found = [fixed(1)] * (len(after) - len(found)) + found
    result = []
    for own, extent in zip(found, after, strict=True):
        if len(own) != extent:
            labels.freeze(own, f"{node.op_type} '{node.name}' changes its length")
            own = fixed(extent)
        result.append(own)
    labels.axes[node.outputs[0]] = result
    return True


def _pad(node: ir.Node, labels: Labelling) -> bool:
    """Padding may cut at one end what it adds at the other: an axis is kept only if both ends are left alone."""
    pads, axes = integers(operand(node, 1)), integers(operand(node, 3))
    found = list(_data(node, labels))
    if pads is None:
        return False
    padded = tuple(axes) if axes is not None else tuple(range(len(found)))
    for position, axis in enumerate(padded):
        if pads[position] or pads[position + len(padded)]:
            labels.freeze(found[axis], f"Pad '{node.name}' pads it")
            found[axis] = fixed(shape_of(node.outputs[0])[axis])
    labels.axes[node.outputs[0]] = found
    return True


def _depth_to_space(node: ir.Node, labels: Labelling) -> bool:
    """[n, c, h, w] to [n, c / b^2, h b, w b]: the b^2 channels that make one go together."""
    found, block = _data(node, labels), attribute(node, "blocksize", 1) ** 2
    parts = found[1].reshape(block, -1)
    if attribute(node, "mode", "DCR") == "CRD":
        parts = found[1].reshape(-1, block).T
    for part in parts[1:]:
        labels.join(parts[0], part, node)
    labels.axes[node.outputs[0]] = [found[0], parts[0], *(fixed(n) for n in shape_of(node.outputs[0])[2:])]
    return True


def _space_to_depth(node: ir.Node, labels: Labelling) -> bool:
    """[n, c, h, w] to [n, b^2 c, h / b, w / b]."""
    found, block = _data(node, labels), attribute(node, "blocksize", 1) ** 2
    space = [fixed(n) for n in shape_of(node.outputs[0])[2:]]
    labels.axes[node.outputs[0]] = [found[0], np.tile(found[1], block), *space]
    return True


def _reshape(node: ir.Node, labels: Labelling) -> bool:
    """Axes that multiply to the same length on both sides are followed block by block."""
    value, result = node.inputs[0], node.outputs[0]
    if value is None or 0 in shape_of(value):
        return False
    found = labels.of(value)
    made: list[Labels] = [fixed(extent) for extent in shape_of(result)]
    for old, new in _blocks(shape_of(value), shape_of(result)):
        if len(old) == 1 and len(new) == 1:
            made[new[0]] = found[old[0]]
        elif len(old) == 1:
            kept = _kept_factor(len(shape_of(value)), len(new))
            made[new[kept]] = _split_axis(found[old[0]], [shape_of(result)[axis] for axis in new], kept, node, labels)
        elif len(new) == 1:
            made[new[0]] = _merge_axes([found[axis] for axis in old], node, labels)
        else:
            for axis in old:
                labels.freeze(found[axis], f"Reshape '{node.name}' mixes it with other axes")
    labels.axes[result] = made
    return True


def _blocks(before: tuple[int, ...], after: tuple[int, ...]) -> Iterator[tuple[list[int], list[int]]]:
    """Shortest runs of axes, lengths of 1 left out, that multiply to the same length on both sides."""
    left = [axis for axis, extent in enumerate(before) if extent != 1]
    right = [axis for axis, extent in enumerate(after) if extent != 1]
    while left and right:
        old, new = [left.pop(0)], [right.pop(0)]
        while (a := math.prod(before[i] for i in old)) != (b := math.prod(after[i] for i in new)):
            if a < b:
                old.append(left.pop(0))
            else:
                new.append(right.pop(0))
        yield old, new


def _kept_factor(rank: int, factors: int) -> int:
    """Which factor of a split axis loses channels.

    A map's channels (rank 4) split into groups and members: every group loses the same members, as a channel shuffle
    needs it. Features split into heads, each of some length, perhaps with queries, keys and values in front: heads go.
    """
    return factors - 1 if rank == 4 else factors - 2


def _split_axis(own: Labels, extents: list[int], kept: int, node: ir.Node, labels: Labelling) -> Labels:
    parts = np.moveaxis(own.reshape(extents), kept, -1).reshape(-1, extents[kept])
    for part in parts[1:]:
        labels.join(parts[0], part, node)
    first: Labels = parts[0]
    return first


def _merge_axes(axes: list[Labels], node: ir.Node, labels: Labelling) -> Labels:
    """A merged axis follows the one axis that has channels; where two have, the later ones stay."""
    moving = [index for index, own in enumerate(axes) if any(labels.root(int(i)) != FIXED for i in own)]
    for index in moving[1:]:
        labels.freeze(axes[index], f"Reshape '{node.name}' merges it with another")
    extents = [len(own) for own in axes]
    if not moving:
        return fixed(math.prod(extents))
    view = [1] * len(axes)
    view[moving[0]] = -1
    return np.broadcast_to(axes[moving[0]].reshape(view), extents).reshape(-1)


def _unsqueeze(node: ir.Node, labels: Labelling) -> bool:
    """Squeeze and Unsqueeze add or drop axes of length 1."""
    found = iter([own for own in _data(node, labels) if len(own) != 1])
    labels.axes[node.outputs[0]] = [fixed(1) if n == 1 else next(found) for n in shape_of(node.outputs[0])]
    return True


SHAPE_RULES: dict[str, Callable[[ir.Node, Labelling], bool]] = {
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Expand": _same_where_equal,
    "Gather": _gather,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _same_where_equal,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _unsqueeze,
    "Tile": _same_where_equal,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
