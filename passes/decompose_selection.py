"""Decompositions, part 5: operators that select, order or place elements."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from hetpart.passes.block import Block
from hetpart.passes.edit import integers, operand, scalar, shape_of

_MAX_PAIRS = 1 << 24
"""Comparisons of a TopK: every element with every other of its row."""


def split_with_empty_parts(at: Block) -> bool:
    """Split of which some outputs have no elements -> a Slice for each of the others."""
    shapes = [shape_of(value) for value in at.node.outputs]
    if all(math.prod(shape) for shape in shapes):
        return False
    x, parts, start = at.input(0), [], 0
    axis = at.attribute("axis", 0) % len(shape_of(x))
    for shape in shapes:
        stop = start + shape[axis]
        parts.append(at.slice(x, axis, start, stop) if math.prod(shape) else at.const(np.zeros(shape), like=x))
        start = stop
    return at.replace(*parts)


def tile(at: Block) -> bool:
    """Tile -> Expand of an axis before each that is repeated: TVM's code of some tiles reads outside of the tensor."""
    x, repeats = at.input(0), integers(operand(at.node, 1))
    if repeats is None or not math.prod(shape_of(at.node.outputs[0])):
        return False
    apart, wide = [], []
    for size, times in zip(shape_of(x), repeats, strict=True):
        apart += [1, size] if times > 1 else [size]
        wide += [times, size] if times > 1 else [size]
    spread = at.op("Expand", at.reshape(x, apart), at.const(wide)) if max(repeats, default=1) > 1 else x
    return at.replace(at.reshape(spread, shape_of(at.node.outputs[0])))


def col2im(at: Block) -> bool:
    """Col2Im -> ScatterElements that adds the pixels of every column to their places; the padding is dropped."""
    image, block = (integers(operand(at.node, index)) for index in (1, 2))
    if image is None or block is None:
        return False
    rank = len(image)
    strides, dilations = at.attribute("strides", (1,) * rank), at.attribute("dilations", (1,) * rank)
    pads = at.attribute("pads", (0,) * 2 * rank)
    counts = [
        (image[i] + pads[i] + pads[i + rank] - dilations[i] * (block[i] - 1) - 1) // strides[i] + 1 for i in range(rank)
    ]
    place = np.zeros((*block, *counts), np.int64)
    inside = np.ones((*block, *counts), np.bool_)
    for i in range(rank):
        taps = np.arange(block[i])[:, None] * dilations[i] + np.arange(counts[i])[None, :] * strides[i] - pads[i]
        taps = taps.reshape([block[i] if j == i else counts[i] if j == i + rank else 1 for j in range(2 * rank)])
        place = place * image[i] + taps
        inside &= (taps >= 0) & (taps < image[i])
    pixels = math.prod(image)
    place = np.where(inside, place, pixels).reshape(-1)  # one more pixel takes what lies outside
    x = at.input(0)
    batch, channels = shape_of(at.node.outputs[0])[:2]
    updates = at.reshape(x, (batch, channels, place.size))
    start = at.const(np.zeros((batch, channels, pixels + 1)), like=x)
    indices = at.const(np.broadcast_to(place, (batch, channels, place.size)).copy())
    made = at.op("ScatterElements", start, indices, updates, axis=2, reduction="add")
    return at.replace(at.reshape(at.slice(made, 2, 0, pixels), shape_of(at.node.outputs[0])))


def computed_pad_value(at: Block) -> bool:
    """Pad with a value that is computed -> Pad with zeros, and the value where the padding is."""
    value, pads = operand(at.node, 2), integers(operand(at.node, 1))
    if value is None or value.is_initializer() or pads is None or at.attribute("mode", "constant") != "constant":
        return False
    x = at.input(0)
    rank = len(shape_of(x))
    axes = [axis % rank for axis in integers(operand(at.node, 3)) or range(rank)]
    amounts = [(0, 0)] * rank
    for index, axis in enumerate(axes):
        amounts[axis] = (pads[index], pads[index + len(axes)])
    mask = np.ones(shape_of(x), np.bool_)
    for axis, (before, after) in enumerate(amounts):  # numpy does not pad by negative amounts
        mask = mask.take(np.arange(max(0, -before), mask.shape[axis] - max(0, -after)), axis)
        mask = np.pad(mask, [(max(0, before), max(0, after)) if i == axis else (0, 0) for i in range(rank)])
    inner = at.op("Pad", x, at.const([a for a, _ in amounts] + [b for _, b in amounts]))
    return at.replace(at.op("Where", at.const(mask), inner, value))


def eye_like(at: Block) -> bool:
    """EyeLike -> its value, which depends on the shape alone."""
    rows, columns = shape_of(at.input(0))
    return at.replace(at.const(np.eye(rows, columns, at.attribute("k", 0)), like=at.node.outputs[0]))


def one_hot(at: Block) -> bool:
    """OneHot -> the comparison of every index with every position."""
    depth = scalar(operand(at.node, 1))
    if depth is None:
        return False
    indices, values = at.cast(at.input(0), ir.DataType.INT64), at.input(2)
    size = int(depth)
    shape = shape_of(at.node.outputs[0])
    axis = at.attribute("axis", -1) % len(shape)
    negative = at.op("Less", indices, at.const(0, like=indices))
    indices = at.op("Where", negative, at.op("Add", indices, at.const(size, like=indices)), indices)
    indices = at.reshape(indices, tuple(1 if i == axis else n for i, n in enumerate(shape)))
    positions = np.arange(size).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    hit = at.op("Equal", indices, at.const(positions))
    off, on = at.slice(values, 0, 0, 1), at.slice(values, 0, 1, 2)
    return at.replace(at.op("Where", hit, on, off))


def reverse_sequence(at: Block) -> bool:
    """ReverseSequence -> GatherElements along the time axis."""
    x, lengths = at.input(0), at.input(1)
    time, batch = at.attribute("time_axis", 0), at.attribute("batch_axis", 1)
    shape = shape_of(x)
    steps = np.arange(shape[time]).reshape([-1 if i == time else 1 for i in range(len(shape))])
    step = at.const(steps)
    length = at.reshape(at.cast(lengths, ir.DataType.INT64), tuple(n if i == batch else 1 for i, n in enumerate(shape)))
    mirrored = at.op("Sub", at.op("Sub", length, at.const([1])), step)
    source = at.op("Where", at.op("Less", step, length), mirrored, step)
    return at.replace(at.op("GatherElements", x, at.op("Expand", source, at.const(list(shape))), axis=time))


def top_k(at: Block) -> bool:
    """TopK -> the rank of every element by comparison with all of its row; equal ones in the order of indices."""
    count = scalar(operand(at.node, 1))
    x = at.input(0)
    shape = shape_of(x)
    axis = at.attribute("axis", -1) % len(shape)
    length = shape[axis]
    if count is None or math.prod(shape) * length > _MAX_PAIRS or 0 in shape:
        return False
    order = [i for i in range(len(shape)) if i != axis] + [axis]
    rows = at.op("Transpose", x, perm=order)
    outer = tuple(shape[i] for i in order[:-1])
    mine, other = at.reshape(rows, (*outer, length, 1)), at.reshape(rows, (*outer, 1, length))
    better = at.op("Greater" if at.attribute("largest", 1) else "Less", other, mine)
    earlier = at.const(np.tri(length, k=-1, dtype=np.bool_))
    before = at.op("Or", better, at.op("And", at.op("Equal", other, mine), earlier))
    rank = at.op(
        "ReduceSum", at.cast(before, ir.DataType.INT64), at.const([len(shape)]), keepdims=0
    )  # (outer..., length)
    positions = at.const(np.broadcast_to(np.arange(length), (*outer, length)).copy())
    start = at.const(np.zeros((*outer, length), np.int64))
    indices = at.op("ScatterElements", start, rank, positions, axis=len(shape) - 1)
    indices = at.slice(indices, len(shape) - 1, 0, int(count))
    values = at.op("GatherElements", rows, indices, axis=len(shape) - 1)
    back = [order.index(i) for i in range(len(shape))]
    return at.replace(at.op("Transpose", values, perm=back), at.op("Transpose", indices, perm=back))


def max_unpool(at: Block) -> bool:
    """MaxUnpool -> ScatterElements into zeros, as one long row; given an output shape, of a size that is not known."""
    if operand(at.node, 2) is not None:
        return False
    x, places, shape = at.input(0), at.input(1), shape_of(at.node.outputs[0])
    row = (math.prod(shape_of(x)),)
    start = at.const(np.zeros(math.prod(shape)), like=x)
    made = at.op("ScatterElements", start, at.reshape(places, row), at.reshape(x, row), axis=0)
    return at.replace(at.reshape(made, shape))


def optional_has_element(at: Block) -> bool:
    """OptionalHasElement of a tensor, or of nothing -> the answer."""
    return at.replace(at.const(np.bool_(operand(at.node, 0) is not None)))


def optional_get_element(at: Block) -> bool:
    """OptionalGetElement of a tensor -> that."""
    return at.replace(at.input(0))
