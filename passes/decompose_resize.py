"""Decompositions, part 1: Resize as one matrix per axis, or one Gather per axis.

Every mode of Resize is separable and linear, so that along one axis it is a product with a matrix that is known at
compile time: cubic, antialiased, cropped and partly outside of the image alike. What hetpart's own kernel does
(nearest and linear over height and width, float32) is left to it.

Formulas: https://onnx.ai/onnx/operators/onnx__Resize.html. Cubic: Keys, "Cubic convolution interpolation for digital
image processing", 1981, with ONNX's cubic_coeff_a.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from hetpart.errors import HetpartError
from hetpart.passes.block import Block
from hetpart.passes.edit import Array, constant, operand, shape_of
from hetpart.passes.kinds import kind_of


def resize(at: Block) -> bool:
    """Resize that hetpart has no kernel for -> MatMul or Gather along each resized axis."""
    _refuse_ambiguous(at)
    if kind_of(at.node) == "resize" or not {at.input(0).dtype} <= {
        ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16,
    }:  # fmt: skip
        return False
    plan = _plan(at)
    if plan is None:
        return False
    x = at.input(0)
    fill = at.attribute("extrapolation_value", 0.0)
    for axis, (matrix, outside) in plan.items():
        if at.attribute("mode", "nearest") == "nearest":
            x = at.op("Gather", x, at.const(matrix.argmax(axis=1)), axis=axis)
        else:
            x = _multiply(at, x, axis, matrix)
        if outside.any():
            mask = outside.reshape([-1 if i == axis else 1 for i in range(len(shape_of(x)))])
            x = at.op("Where", at.const(mask), at.const(fill, like=x), x)
    return at.replace(x)


def _refuse_ambiguous(at: Block) -> None:
    """With align_corners and scales that give no whole size, ONNX aligns with the fraction, onnxruntime without."""
    scales = constant(operand(at.node, 2))
    if at.attribute("coordinate_transformation_mode", "half_pixel") != "align_corners" or scales is None:
        return
    source = shape_of(at.input(0))
    axes = at.attribute("axes", tuple(range(len(source))))
    for axis, scale in zip(axes, scales.tolist(), strict=False):
        if scale * source[axis] % 1:
            raise HetpartError(
                "ambiguous-resize",
                f"Resize with align_corners from {source[axis]} to {scale * source[axis]:.3f} lines: ONNX and "
                "onnxruntime do not agree what that means",
                node=at.node.name,
                hint="export with sizes instead of scales",
            )


def _multiply(at: Block, x: ir.Value, axis: int, matrix: Array) -> ir.Value:
    rank = len(shape_of(x))
    order = [i for i in range(rank) if i != axis] + [axis]
    back = [order.index(i) for i in range(rank)]
    last = at.op("Transpose", x, perm=order)
    made = at.op("MatMul", last, at.const(np.ascontiguousarray(matrix.T), like=x))
    return at.op("Transpose", made, perm=back)


def _plan(at: Block) -> dict[int, tuple[Array, Array]] | None:
    """Per axis that changes: the matrix (target, source), and which target lines lie outside of the crop."""
    source, target = shape_of(at.input(0)), shape_of(at.node.outputs[0])
    rank = len(source)
    axes = [axis % rank for axis in at.attribute("axes", tuple(range(rank)))]
    roi, scales, sizes = (constant(operand(at.node, index)) for index in (1, 2, 3))
    transform = at.attribute("coordinate_transformation_mode", "half_pixel")
    factors = _factors(at, source, axes, scales, sizes)
    if factors is None or (transform == "tf_crop_and_resize" and (roi is None or roi.size != 2 * len(axes))):
        return None
    plan = {}
    for index, axis in enumerate(axes):
        crop = (float(roi[index]), float(roi[index + len(axes)])) if transform == "tf_crop_and_resize" else None  # type: ignore[index]  # checked above
        whole = crop in (None, (0.0, 1.0))
        if factors[axis] == 1.0 and source[axis] == target[axis] and whole:
            continue
        where = [_original(transform, i, source[axis], target[axis], factors[axis], crop) for i in range(target[axis])]
        matrix = np.stack([_line(at, x, source[axis], factors[axis]) for x in where])
        outside = np.array([crop is not None and (x < 0 or x > source[axis] - 1) for x in where])
        plan[axis] = (matrix, outside)
    return plan


def _factors(
    at: Block, source: tuple[int, ...], axes: list[int], scales: Array | None, sizes: Array | None
) -> dict[int, float] | None:
    if scales is not None and scales.size:
        return dict(zip(axes, (float(scale) for scale in scales), strict=True))
    if sizes is None or not sizes.size:
        return None
    given = {axis: int(size) / source[axis] for axis, size in zip(axes, sizes, strict=True)}
    policy = at.attribute("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        common = (min if policy == "not_larger" else max)(given.values())
        return dict.fromkeys(given, common)
    return given


def _original(
    transform: str, index: int, source: int, target: int, scale: float, crop: tuple[float, float] | None
) -> float:
    """The source coordinate of an output line."""
    length = scale * source
    match transform:
        case "align_corners":
            return index * (source - 1) / (length - 1) if length != 1 else 0.0
        case "asymmetric":
            return index / scale
        case "pytorch_half_pixel" if length == 1:
            return -0.5
        case "tf_crop_and_resize":
            begin, end = crop or (0.0, 1.0)
            if length == 1:
                return (begin + end) * (source - 1) / 2
            return begin * (source - 1) + index * (end - begin) * (source - 1) / (length - 1)
        case "half_pixel_symmetric":
            return source / 2 * (1 - target / length) + (index + 0.5) / scale - 0.5
    return (index + 0.5) / scale - 0.5


def _line(at: Block, x: float, source: int, scale: float) -> Array:
    """One row of the matrix: the weights of the source lines around coordinate `x`."""
    low = math.floor(x)
    mode = at.attribute("mode", "nearest")
    row = np.zeros(source)
    if mode == "nearest":
        row[min(max(_nearest(at.attribute("nearest_mode", "round_prefer_floor"), x), 0), source - 1)] = 1.0
        return row
    shrink = min(scale, 1.0) if at.attribute("antialias", 0) else 1.0
    reach = math.ceil((2 if mode == "cubic" else 1) / shrink)
    taps = np.arange(low - reach, low + reach + 2)
    distance = np.abs(taps - x) * shrink
    weights = _cubic(distance, at.attribute("cubic_coeff_a", -0.75)) if mode == "cubic" else np.maximum(1 - distance, 0)
    if at.attribute("exclude_outside", 0):
        weights = np.where((taps < 0) | (taps >= source), 0.0, weights)
    np.add.at(row, np.clip(taps, 0, source - 1), weights / weights.sum())
    return row


def _cubic(distance: Array, a: float) -> Array:
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def _nearest(mode: str, x: float) -> int:
    match mode:
        case "floor":
            return math.floor(x)
        case "ceil":
            return math.ceil(x)
        case "round_prefer_ceil":
            return math.floor(x + 0.5)
    return math.ceil(x - 0.5)
