"""Decompositions, part 9: operators that read a map between its pixels, at places that are computed.

A map becomes rows of channels, one for each pixel; each of the four pixels around a place is one Gather of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from hetpart.passes.block import Block
from hetpart.passes.edit import operand, shape_of


def roi_align(at: Block) -> bool:
    """RoiAlign with a fixed number of samples per bin -> weighted rows, averaged (or their maximum) over each bin."""
    x, rois, batch = at.input(0), at.input(1), at.input(2)
    ratio, half = at.attribute("sampling_ratio", 0), at.attribute("coordinate_transformation_mode", "half_pixel")
    if ratio <= 0 or x.dtype not in (ir.DataType.FLOAT, ir.DataType.DOUBLE):
        return False  # without a fixed number, how many samples there are depends on the regions
    _, channels, height, width = shape_of(x)
    regions, _, high, wide = shape_of(at.node.outputs[0])
    scaled = at.op("Mul", rois, at.const(at.attribute("spatial_scale", 1.0), like=rois))
    if half == "half_pixel":
        scaled = at.op("Sub", scaled, at.const(0.5, like=rois))

    def samples(axis: int, bins: int, size: int) -> _Pixels:
        """Places (regions, bins * ratio) along x (axis 0) or y (axis 1), in the order of ONNX's definition."""
        start, end = (at.slice(scaled, 1, i, i + 1) for i in (axis, axis + 2))
        extent = at.op("Sub", end, start)
        if half != "half_pixel":
            extent = at.op("Max", extent, at.const(1, like=extent))
        step = at.op("Div", extent, at.const(bins, like=extent))
        number = np.arange(bins * ratio)
        place = at.op("Add", start, at.op("Mul", step, at.const(number // ratio, like=step)))
        inner = at.op("Mul", step, at.const(number % ratio + 0.5, like=step))
        place = at.op("Add", place, at.op("Div", inner, at.const(ratio, like=step)))
        # up to one pixel outside counts as the border, what is further as zero
        outside = at.op("Or", _less(at, place, -1), at.op("Greater", place, at.const(size, like=place)))
        place = at.op("Clip", place, at.const(0, like=place), at.const(size - 1, like=place))
        return _Pixels.around(at, place, size, at.op("Not", outside))

    ys, xs = samples(1, high, height), samples(0, wide, width)
    first = at.op("Mul", at.cast(batch, ir.DataType.INT64), at.const(np.int64(height * width)))
    base = at.reshape(first, (regions, 1, 1))
    ys, xs = (p.reshaped(at, s) for p, s in ((ys, (regions, high * ratio, 1)), (xs, (regions, 1, wide * ratio))))
    corners = _corners(at, _rows(at, x, 1), base, ys, xs, width)
    average = at.attribute("mode", "avg") == "avg"
    sample = at.op("Sum" if average else "Max", *corners)
    bins = at.reshape(sample, (regions, high, ratio, wide, ratio, channels))
    pooled = at.op("ReduceMean" if average else "ReduceMax", bins, at.const([2, 4]), keepdims=0)
    return at.replace(at.op("Transpose", pooled, perm=[0, 3, 1, 2]))


def deform_conv(at: Block) -> bool:
    """DeformConv of images -> the pixels that each tap reads, weighted, times the weights."""
    x, w, offset, bias, mask = at.input(0), at.input(1), at.input(2), operand(at.node, 3), operand(at.node, 4)
    if len(shape_of(x)) != 4 or x.dtype not in (ir.DataType.FLOAT, ir.DataType.DOUBLE):
        return False
    (n, channels, height, width), (outputs, _, kh, kw) = shape_of(x), shape_of(w)
    _, _, high, wide = shape_of(at.node.outputs[0])
    parts, group, taps = at.attribute("offset_group", 1), at.attribute("group", 1), kh * kw
    strides, dilations = at.attribute("strides", (1, 1)), at.attribute("dilations", (1, 1))
    pads = at.attribute("pads", (0, 0, 0, 0))
    moved = at.reshape(offset, (n, parts, taps, 2, high, wide))
    kernel, grid = np.indices((kh, kw)), np.indices((high, wide))

    def samples(axis: int, size: int) -> _Pixels:
        """Places (n, parts, taps, high, wide)."""
        fixed = grid[axis] * strides[axis] - pads[axis]
        fixed = fixed + kernel[axis].reshape(taps, 1, 1) * dilations[axis]
        by = at.reshape(at.slice(moved, 3, axis, axis + 1), (n, parts, taps, high, wide))
        return _Pixels.around(at, at.op("Add", by, at.const(fixed, like=by)), size)

    base = np.arange(n * parts).reshape(n, parts, 1, 1, 1) * (height * width)
    corners = _corners(at, _rows(at, x, parts), at.const(base), samples(0, height), samples(1, width), width)
    read = at.op("Sum", *corners)  # (n, parts, taps, high, wide, channels of a part)
    if mask is not None:
        read = at.op("Mul", read, at.reshape(mask, (n, parts, taps, high, wide, 1)))
    columns = at.op("Transpose", read, perm=[0, 1, 5, 2, 3, 4])
    columns = at.reshape(columns, (n, group, channels // group * taps, high * wide))
    made = at.op("MatMul", at.reshape(w, (group, outputs // group, channels // group * taps)), columns)
    made = at.reshape(made, (n, outputs, high, wide))
    return at.replace(made if bias is None else at.op("Add", made, at.reshape(bias, (outputs, 1, 1))))


@dataclass(frozen=True)
class _Pixels:
    """The two pixels around each place along one axis: indices (int64), and weights that are zero outside."""

    indices: tuple[ir.Value, ir.Value]
    weights: tuple[ir.Value, ir.Value]

    @classmethod
    def around(cls, at: Block, place: ir.Value, size: int, counts: ir.Value | None = None) -> _Pixels:
        """Of `place` on an axis of `size` pixels; what lies outside, or where `counts` is false, weighs nothing."""
        low = at.op("Floor", place)
        behind = at.op("Sub", place, low)
        zero, last = at.const(0, like=place), at.const(size - 1, like=place)
        indices, weights = [], []
        for step, weight in ((0, at.op("Sub", at.const(1, like=place), behind)), (1, behind)):
            pixel = at.op("Add", low, at.const(step, like=low)) if step else low
            inside = at.op("And", at.op("GreaterOrEqual", pixel, zero), at.op("LessOrEqual", pixel, last))
            inside = inside if counts is None else at.op("And", inside, counts)
            weights.append(at.op("Where", inside, weight, zero))
            indices.append(at.cast(at.op("Clip", pixel, zero, last), ir.DataType.INT64))
        return cls((indices[0], indices[1]), (weights[0], weights[1]))

    def reshaped(self, at: Block, shape: tuple[int, ...]) -> _Pixels:
        (i, j), (v, w) = self.indices, self.weights
        return _Pixels((at.reshape(i, shape), at.reshape(j, shape)), (at.reshape(v, shape), at.reshape(w, shape)))


def _less(at: Block, value: ir.Value, bound: float) -> ir.Value:
    return at.op("Less", value, at.const(bound, like=value))


def _rows(at: Block, x: ir.Value, parts: int) -> ir.Value:
    """A map as (images * parts * pixels, channels of a part)."""
    n, channels, height, width = shape_of(x)
    split = at.reshape(x, (n, parts, channels // parts, height * width))
    return at.reshape(at.op("Transpose", split, perm=[0, 1, 3, 2]), (n * parts * height * width, channels // parts))


def _corners(at: Block, rows: ir.Value, base: ir.Value, ys: _Pixels, xs: _Pixels, width: int) -> list[ir.Value]:
    """The four pixels around each place, weighted: (places..., channels) each; `base` is a map's first row."""
    found = []
    for y, wy in zip(ys.indices, ys.weights, strict=True):
        line = at.op("Add", base, at.op("Mul", y, at.const(np.int64(width))))
        for x, wx in zip(xs.indices, xs.weights, strict=True):
            weight = at.op("Mul", wy, wx)
            read = at.op("Gather", rows, at.op("Add", line, x), axis=0)
            found.append(at.op("Mul", read, at.reshape(weight, (*shape_of(weight), 1))))
    return found
