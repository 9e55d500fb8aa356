"""Which kernel kind an ONNX node is, from its type, ranks, dtypes and attributes; ``other`` where none fits.

Elementwise nodes are not decided here: see hetpart.passes.steps.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from hetpart.passes.channels import in_blocks
from hetpart.passes.edit import attribute, constant, integers, normalised_axes, operand, required, shape_of


def kind_of(node: ir.Node) -> str:
    """One of `hetpart.graph.units.KINDS`.

    Views and transposes move bytes of any dtype, concatenations and maxima take quantised tensors as they are; every
    other kernel kind is float32 only. Units without activation
    inputs, tensors without elements, and foreign domains are ``other``.
    """
    used = [value for value in node.outputs if value.name and (value.uses() or value.is_graph_output())]
    activations = [value for value in node.inputs if value is not None and not value.is_initializer()]
    if node.domain != "" or len(used) != 1 or used[0] is not node.outputs[0]:
        return "other"
    if not activations or any(0 in shape_of(value) for value in [*activations, *used]):
        return "other"
    for kind, fits in _RULES.get(node.op_type, ()):
        if (kind in _ANY_DTYPE or _computes_float32(node) or _moves_bytes(node)) and fits(node):
            return kind
    return "other"


_ANY_DTYPE = frozenset({"view", "transpose"})
_BYTES = frozenset({ir.DataType.INT8, ir.DataType.UINT8})


def _computes_float32(node: ir.Node) -> bool:
    data = node.inputs[0]
    return data is not None and data.dtype == node.outputs[0].dtype == ir.DataType.FLOAT


def _moves_bytes(node: ir.Node) -> bool:
    """Operators on quantised tensors as they are."""
    data = node.inputs[0]
    return node.op_type in ("Concat", "MaxPool") and data is not None and data.dtype in _BYTES


def _data(node: ir.Node) -> ir.Value | None:
    """The first input if it is an activation."""
    value = operand(node, 0)
    return None if value is None or value.is_initializer() else value


def _is_image(node: ir.Node) -> bool:
    """The first input is an (N, C, H, W) activation."""
    data = _data(node)
    return data is not None and len(shape_of(data)) == 4


def _is_parameter(value: ir.Value | None, rank: int) -> bool:
    return value is not None and value.is_initializer() and len(shape_of(value)) == rank


def _explicit_pads(node: ir.Node) -> bool:
    return attribute(node, "auto_pad", "NOTSET") == "NOTSET" and all(pad >= 0 for pad in attribute(node, "pads", ()))


def _conv(node: ir.Node) -> bool:
    bias = operand(node, 2)
    return (
        _is_image(node)
        and _is_parameter(operand(node, 1), 4)
        and (bias is None or _is_parameter(bias, 1))
        and _explicit_pads(node)
        and not attribute(node, "output_shape", ())
    )


def _pool(node: ir.Node) -> bool:
    return _is_image(node) and _explicit_pads(node)


def _gemm(node: ir.Node) -> bool:
    bias = operand(node, 2)
    return (
        _data(node) is not None
        and _is_parameter(operand(node, 1), 2)
        and (bias is None or _is_parameter(bias, 1))
        and attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0
        and not attribute(node, "transA", 0)
        and not attribute(node, "transB", 0)
    )


def _dense_matmul(node: ir.Node) -> bool:
    data = _data(node)
    return data is not None and len(shape_of(data)) >= 2 and _is_parameter(node.inputs[1], 2)


def _matmul(node: ir.Node) -> bool:
    return all(value is not None and not value.is_initializer() and len(shape_of(value)) >= 2 for value in node.inputs)


def _softmax(node: ir.Node) -> bool:
    data = _data(node)
    return data is not None and len(shape_of(data)) >= 1


def _layer_norm(node: ir.Node) -> bool:
    data, scale, bias = _data(node), operand(node, 1), operand(node, 2)
    if data is None or scale is None or attribute(node, "stash_type", 1) != 1:
        return False
    shape = shape_of(data)
    normalised = shape[attribute(node, "axis", -1) % len(shape) :]
    return all(v is None or (v.is_initializer() and shape_of(v) == normalised) for v in (scale, bias))


def _instance_norm(node: ir.Node) -> bool:
    return _is_image(node) and _is_parameter(node.inputs[1], 1) and _is_parameter(node.inputs[2], 1)


def _resize(node: ir.Node) -> bool:
    """Nearest or linear over height and width, the scale given or implied by the sizes."""
    if not _is_image(node):
        return False
    axes = attribute(node, "axes", (0, 1, 2, 3))
    scales, sizes = constant(operand(node, 2)), constant(operand(node, 3))
    plain = (
        attribute(node, "mode", "nearest") in ("nearest", "linear")
        and attribute(node, "coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize"
        and attribute(node, "keep_aspect_ratio_policy", "stretch") == "stretch"
        and not attribute(node, "antialias", 0)
        and not attribute(node, "exclude_outside", 0)
    )
    given = (scales is not None and scales.size > 0) or (sizes is not None and sizes.size > 0)
    if not plain or not given or normalised_axes(axes, 4) != tuple(axis % 4 for axis in axes):
        return False
    if scales is not None and scales.size > 0:
        factors = dict(zip((axis % 4 for axis in axes), scales.tolist(), strict=True))
        return {2, 3} <= factors.keys() and factors.get(0, 1.0) == factors.get(1, 1.0) == 1.0
    data = node.inputs[0]
    return data is not None and shape_of(data)[:2] == shape_of(node.outputs[0])[:2]


def _pad(node: ir.Node) -> bool:
    """Height and width only, no cropping; the fill value, if any, is constant."""
    pads, fill = integers(operand(node, 1)), operand(node, 2)
    if not _is_image(node) or operand(node, 3) is not None or pads is None:
        return False
    return (
        attribute(node, "mode", "constant") in ("constant", "reflect", "edge")
        and pads[0] == pads[1] == pads[4] == pads[5] == 0
        and min(pads) >= 0
        and (fill is None or fill.is_initializer())
    )


def _crop(node: ir.Node) -> bool:
    """Height and width only, of a map that lies in channel blocks: there it is padding by negative amounts."""
    bounds = [integers(operand(node, index)) for index in (1, 2, 3)]
    axes, steps = bounds[2], operand(node, 4)
    if not _is_image(node) or None in bounds or axes is None or not {axis % 4 for axis in axes} <= {2, 3}:
        return False
    return (steps is None or set(integers(steps) or (0,)) == {1}) and in_blocks(required(node, 0))


def _view(node: ir.Node) -> bool:
    return _data(node) is not None and integers(operand(node, 1)) is not None


def _transpose(node: ir.Node) -> bool:
    data = _data(node)
    return data is not None and data.dtype is not None and data.dtype.itemsize in (1, 2, 4, 8)


def _one_dtype(node: ir.Node) -> bool:
    return all(value is not None and value.dtype == node.outputs[0].dtype for value in node.inputs)


_RULES: dict[str, tuple[tuple[str, Callable[[ir.Node], bool]], ...]] = {
    "AveragePool": (("pool", _pool),),
    "Concat": (("concat", _one_dtype),),
    "Conv": (("conv", _conv),),
    "ConvTranspose": (("conv_transpose", _conv),),
    "Gemm": (("dense", _gemm),),
    "GlobalAveragePool": (("global_pool", _is_image),),
    "GlobalMaxPool": (("global_pool", _is_image),),
    "InstanceNormalization": (("instance_norm", _instance_norm),),
    "LayerNormalization": (("layer_norm", _layer_norm),),
    "LogSoftmax": (("softmax", _softmax),),
    "MatMul": (("dense", _dense_matmul), ("matmul", _matmul)),
    "MaxPool": (("pool", _pool),),
    "Pad": (("pad", _pad),),
    "Reshape": (("view", _view),),
    "Resize": (("resize", _resize),),
    "Slice": (("pad", _crop),),
    "Softmax": (("softmax", _softmax),),
    "Transpose": (("transpose", _transpose),),
}
"""Operator type -> kinds in order of preference, each with its condition."""
