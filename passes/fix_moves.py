"""Fixes, part 1: operators that only move elements, written as convolutions, transpositions, pads and bounds.

Every rule is a function of a `Block` that replaces its node and returns True, or returns False.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from hetpart.passes.block import Block
from hetpart.passes.edit import Array, constant, integers, is_operator, operand, shape_of


def selection(at: Block) -> bool:
    """Slice, Split and Gather at known places -> 1x1 convolutions with one 1 per output channel, one per axis."""
    x = at.input(0)
    if x.is_initializer() or x.dtype != ir.DataType.FLOAT or 0 in shape_of(x) or not shape_of(x):
        return False
    chosen = _CHOSEN[at.node.op_type](at, shape_of(x))
    if chosen is None:
        return False
    made: list[ir.Value | None] = []
    for output, choices in zip(at.node.outputs, chosen, strict=True):
        y: ir.Value | None = None
        if output.uses() or output.is_graph_output():
            y = x
            for axis, indices in choices.items():
                y = _select(at, y, axis, indices)
            y = at.reshape(y, shape_of(output))
        made.append(y)
    return at.replace(*made)


def _select(at: Block, x: ir.Value, axis: int, indices: Array) -> ir.Value:
    """Elements `indices` of `x` along one axis, which becomes the channels of an image."""
    shape = shape_of(x)
    weight = np.zeros((len(indices), shape[axis], 1, 1), np.float32)
    weight[np.arange(len(indices)), indices] = 1
    inner = shape[axis + 1 :]
    image = (math.prod(shape[:axis]), shape[axis], *(inner if len(inner) == 2 else (1, math.prod(inner))))
    y = at.op("Conv", at.reshape(x, image), at.const(weight), kernel_shape=[1, 1])
    return at.reshape(y, (*shape[:axis], len(indices), *inner))


Choices = list[dict[int, Array]]
"""Per output: the indices that are taken, by axis."""


def _gathered(at: Block, shape: tuple[int, ...]) -> Choices | None:
    indices = constant(operand(at.node, 1))
    axis = at.attribute("axis", 0) % len(shape)
    return None if indices is None or not indices.size else [{axis: indices.reshape(-1) % shape[axis]}]


def _split(at: Block, shape: tuple[int, ...]) -> Choices | None:
    axis = at.attribute("axis", 0) % len(shape)
    sizes = [shape_of(output)[axis] for output in at.node.outputs]
    if 0 in sizes:
        return None
    ends = np.cumsum(sizes)
    return [{axis: np.arange(end - size, end)} for end, size in zip(ends.tolist(), sizes, strict=True)]


def _sliced(at: Block, shape: tuple[int, ...]) -> Choices | None:
    starts, ends, axes, steps = (integers(operand(at.node, index)) for index in (1, 2, 3, 4))
    unknown = (operand(at.node, 3) is not None and axes is None) or (operand(at.node, 4) is not None and steps is None)
    if starts is None or ends is None or unknown or 0 in shape_of(at.node.outputs[0]):
        return None
    chosen = {}
    bounds = zip(axes or range(len(starts)), starts, ends, steps or (1,) * len(starts), strict=True)
    for axis, start, end, step in bounds:
        size = shape[axis]
        # as ONNX clamps them: going down, a start before the first element is the first, which Python's is not
        lowest, highest = (0, size) if step > 0 else (-1, size - 1)
        first = min(max(start + size if start < 0 else start, 0), highest)
        end = min(max(end + size if end < 0 else end, lowest), highest)
        taken = np.arange(first, end, step)
        if not np.array_equal(taken, np.arange(size)):
            chosen[axis % len(shape)] = taken
    return [chosen] if chosen else None


_CHOSEN = {"Gather": _gathered, "Split": _split, "Slice": _sliced}


def depth_to_space(at: Block) -> bool:
    """DepthToSpace -> Reshape, Transpose, Reshape."""
    n, c, h, w = shape_of(at.input(0))
    block = at.attribute("blocksize", 1)
    if at.attribute("mode", "DCR") == "DCR":
        split, perm = (n, block, block, c // block**2, h, w), [0, 3, 4, 1, 5, 2]
    else:
        split, perm = (n, c // block**2, block, block, h, w), [0, 1, 4, 2, 5, 3]
    moved = at.op("Transpose", at.reshape(at.input(0), split), perm=perm)
    return at.replace(at.reshape(moved, shape_of(at.node.outputs[0])))


def space_to_depth(at: Block) -> bool:
    """SpaceToDepth -> Reshape, Transpose, Reshape."""
    n, c, h, w = shape_of(at.input(0))
    block = at.attribute("blocksize", 1)
    if at.attribute("mode", "DCR") != "DCR":
        return False
    split = (n, c, h // block, block, w // block, block)
    moved = at.op("Transpose", at.reshape(at.input(0), split), perm=[0, 3, 5, 1, 2, 4])
    return at.replace(at.reshape(moved, shape_of(at.node.outputs[0])))


def pad(at: Block) -> bool:
    """Pad of tensors that are no images, or along other axes than theirs -> a Pad of one axis of an image each."""
    pads, fill, axes = integers(operand(at.node, 1)), operand(at.node, 2), integers(operand(at.node, 3))
    mode = at.attribute("mode", "constant")
    shape = shape_of(at.input(0))
    if pads is None or min(pads, default=0) < 0 or (operand(at.node, 3) is not None and axes is None):
        return False
    if mode not in ("constant", "reflect", "edge") or 0 in shape or (fill is not None and not fill.is_initializer()):
        return False
    named = [axis % len(shape) for axis in axes] if axes is not None else list(range(len(shape)))
    x = at.input(0)
    for index, axis in enumerate(named):
        before, after = pads[index], pads[index + len(named)]
        if not before and not after:
            continue
        size = shape_of(x)
        image = at.reshape(x, (1, math.prod(size[:axis]), size[axis], math.prod(size[axis + 1 :])))
        padded = at.op("Pad", image, at.const([0, 0, before, 0, 0, 0, after, 0]), fill, mode=mode)
        x = at.reshape(padded, (*size[:axis], size[axis] + before + after, *size[axis + 1 :]))
    return x is not at.input(0) and at.replace(x)


def where(at: Block) -> bool:
    """Where under a constant mask with a constant branch -> Min and Max with bounds that are infinite elsewhere."""
    mask = constant(at.input(0))
    branches = [constant(at.input(1)), constant(at.input(2))]
    if mask is None or (branches[0] is None) == (branches[1] is None) or at.input(1).dtype != ir.DataType.FLOAT:
        return False
    index = 0 if branches[0] is None else 1
    x, other = at.input(1 + index), branches[1 - index]
    if shape_of(x) != shape_of(at.node.outputs[0]) or other is None or np.isnan(other).any():
        return False
    keep = mask if index == 0 else ~mask
    keep, other = np.broadcast_arrays(keep, other)
    upper = at.const(np.where(keep, np.inf, other).astype(np.float32))
    lower = at.const(np.where(keep, -np.inf, other).astype(np.float32))
    return at.replace(at.op("Max", at.op("Min", x, upper), lower))


_BROADCASTING = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "PRelu", "Where")


def expand(at: Block) -> bool:
    """Expand whose readers broadcast anyway -> nothing."""
    x, y = at.input(0), at.node.outputs[0]
    if y.is_graph_output() or not y.uses():
        return False
    for node, index in y.uses():
        others = [v for i, v in enumerate(node.inputs) if v is not None and i != index]
        if not is_operator(node, *_BROADCASTING) or (node.op_type == "PRelu" and index == 0) or x.is_initializer():
            return False
        shape = np.broadcast_shapes(shape_of(x), *(shape_of(v) for v in others if v is not y))
        if shape != shape_of(node.outputs[0]) or any(v is y for v in others):
            return False
    y.replace_all_uses_with(x)
    at.editor.graph.remove(at.node, safe=True)
    return True


def cast_first(at: Block) -> bool:
    """Transpose or Concat of integers or doubles that is read as float32 only -> the Cast first."""
    y = at.node.outputs[0]
    readers = [node for node, _ in y.uses()]
    if y.is_graph_output() or not readers or y.dtype in (ir.DataType.FLOAT, ir.DataType.STRING):
        return False
    if not all(is_operator(node, "Cast") and node.outputs[0].dtype == ir.DataType.FLOAT for node in readers):
        return False
    inputs = [at.cast(value, ir.DataType.FLOAT) for value in at.node.inputs if value is not None]
    attributes = {name: at.attribute(name, None) for name in at.node.attributes}
    moved = at.op(at.node.op_type, *inputs, **attributes)
    for node in readers:
        out = node.outputs[0]
        if out.is_graph_output():
            node.replace_input_with(0, moved)  # a Cast to the same type, which costs nothing
        else:
            out.replace_all_uses_with(moved)
            at.editor.graph.remove(node, safe=True)
    at.editor.graph.remove(at.node, safe=True)
    return True
