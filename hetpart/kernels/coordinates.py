"""Source coordinates of ONNX Resize, computed at compile time.

Formulas: the operator's specification, https://onnx.ai/onnx/operators/onnx__Resize.html (coordinate_transformation_mode
and nearest_mode).
"""

from __future__ import annotations

import math

import onnx_ir as ir

from hetpart.errors import HetpartError

Line = tuple[int, int, float]
"""Low index, high index, weight of the high one."""


def resize_lines(node: ir.Node, source: int, target: int, scale: float) -> tuple[Line, ...]:
    """For every one of `target` output lines: which of the `source` input lines it is made of.

    Args:
        node: the Resize node (modes are read from its attributes).
        source: input length.
        target: output length.
        scale: target / source as the model states it (it may be a fraction that does not divide evenly).

    Raises:
        HetpartError: ``resize-mode`` for a mode that is neither nearest nor linear.
    """
    mode = node.attributes.get_string("mode", "nearest")
    transform = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    rounding = node.attributes.get_string("nearest_mode", "round_prefer_floor")
    lines = []
    for index in range(target):
        x = _original(transform, index, source, target, scale, node)
        if mode == "nearest":
            low = min(max(_round(rounding, x), 0), source - 1)
            lines.append((low, low, 0.0))
        elif mode == "linear":
            x = min(max(x, 0.0), source - 1.0)
            low = min(math.floor(x), source - 1)
            high = min(low + 1, source - 1)
            lines.append((low, high, x - low if high > low else 0.0))
        else:
            raise HetpartError("resize-mode", f"Resize mode {mode} has no kernel", node=node.name)
    return tuple(lines)


def _original(transform: str | None, index: int, source: int, target: int, scale: float, node: ir.Node) -> float:
    if transform == "half_pixel":
        return (index + 0.5) / scale - 0.5
    if transform == "pytorch_half_pixel":
        return (index + 0.5) / scale - 0.5 if target > 1 else 0.0
    if transform == "half_pixel_symmetric":
        # the scale may describe a fractional target; keep the image's centre where it was
        adjustment = target / (scale * source)
        return source / 2 * (1 - adjustment) + (index + 0.5) / scale - 0.5
    if transform == "align_corners":
        return index * (source - 1) / (target - 1) if target > 1 else 0.0
    if transform == "asymmetric":
        return index / scale
    raise HetpartError("resize-mode", f"Resize coordinate mode {transform} has no kernel", node=node.name)


def _round(mode: str | None, x: float) -> int:
    if mode == "floor":
        return math.floor(x)
    if mode == "ceil":
        return math.ceil(x)
    if mode == "round_prefer_ceil":
        return math.floor(x + 0.5)
    return math.ceil(x - 0.5)  # round_prefer_floor
