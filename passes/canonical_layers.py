"""Canonical form, part 3: normalisation, pooling, padding and matrix products."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from hetpart.errors import HetpartError
from hetpart.passes.edit import (
    Array,
    Editor,
    attribute,
    constant,
    integers,
    is_float,
    normalised_axes,
    operand,
    shape_of,
)

BN_SCALE = "bn-scale"
"""Key in a node's metadata of the scale, [C], of a BatchNormalization that became part of it: see prune-channels."""


def batch_norm(editor: Editor, node: ir.Node) -> bool:
    """BatchNormalization at inference -> Mul, Add.

    ``(x - mean) / sqrt(var + epsilon) * scale + b  =  x * s + t`` with ``s = scale / sqrt(var + epsilon)`` and
    ``t = b - mean * s``, both computed in float64 and of shape [C, 1, ...].
    """
    data = node.inputs[0]
    if attribute(node, "training_mode", 0):
        raise HetpartError(
            "training-mode",
            "BatchNormalization in training mode normalises by the batch",
            node=node.name,
            hint="export the model for inference",
        )
    parameters = [constant(value) for value in node.inputs[1:5]]
    if data is None or any(p is None for p in parameters):
        raise HetpartError("computed-batch-norm", "BatchNormalization has parameters that are computed", node=node.name)
    scale, bias, mean, variance = (np.asarray(p, dtype=np.float64) for p in parameters)
    factor = scale / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    offset = bias - mean * factor
    shape = shape_of(data)
    channel = (-1, *(1,) * (len(shape) - 2))
    dtype = _dtype(data)
    factors = editor.constant(f"{node.name}/scale", factor.astype(dtype).reshape(channel))
    offsets = editor.constant(f"{node.name}/offset", offset.astype(dtype).reshape(channel))
    scaled = editor.insert(node, "Mul", [data, factors], shape=shape)
    if (multiply := scaled.producer()) is not None:
        multiply.meta[BN_SCALE] = scale
    editor.become(node, "Add", [scaled, offsets])
    return True


def explicit_pads(editor: Editor, node: ir.Node) -> bool:
    """Conv and pooling with auto_pad -> with pads: ``(out - 1) * stride + (kernel - 1) * dilation + 1 - in`` in all."""
    mode = attribute(node, "auto_pad", None)
    data = node.inputs[0]
    if mode is None or data is None:
        return False
    if mode != "NOTSET":
        sizes, results = shape_of(data)[2:], shape_of(node.outputs[0])[2:]
        windows = _windows(node, len(sizes))
        totals = [(o - 1) * s + k - i for i, o, (s, k) in zip(sizes, results, windows, strict=True)]
        editor.set_integers(node, "pads", _distribute([0 if mode == "VALID" else max(t, 0) for t in totals], mode))
    del node.attributes["auto_pad"]
    return True


def explicit_output_size(editor: Editor, node: ir.Node) -> bool:
    """ConvTranspose with auto_pad or output_shape -> with pads, ``(in - 1) * stride + extra + window - out`` in all."""
    mode = attribute(node, "auto_pad", "NOTSET")
    data = node.inputs[0]
    if data is None or not ({"auto_pad", "output_shape"} & node.attributes.keys()):
        return False
    if mode != "NOTSET" or "output_shape" in node.attributes:
        sizes, results = shape_of(data)[2:], shape_of(node.outputs[0])[2:]
        extras = attribute(node, "output_padding", (0,) * len(sizes))
        windows = _windows(node, len(sizes))
        totals = [
            (i - 1) * s + extra + k - o for i, o, extra, (s, k) in zip(sizes, results, extras, windows, strict=True)
        ]
        if min(totals, default=0) < 0:  # larger than the operator makes with pads: the rest is padding of the output
            extras = tuple(extra - min(0, total) for extra, total in zip(extras, totals, strict=True))
            if any(extra >= stride for extra, (stride, _) in zip(extras, windows, strict=True)):
                return False  # no operator makes that much
            editor.set_integers(node, "output_padding", extras)
            totals = [max(0, total) for total in totals]
        editor.set_integers(node, "pads", _distribute(totals, "SAME_UPPER" if mode == "SAME_UPPER" else "SAME_LOWER"))
    for name in ("auto_pad", "output_shape"):
        node.attributes.pop(name, None)
    return True


def _windows(node: ir.Node, rank: int) -> list[tuple[int, int]]:
    """Stride and dilated kernel extent per spatial axis."""
    weight = operand(node, 1)
    kernel = attribute(node, "kernel_shape", None) or (shape_of(weight)[2:] if weight is not None else ())
    strides = attribute(node, "strides", (1,) * rank)
    dilations = attribute(node, "dilations", (1,) * rank)
    return [(s, (k - 1) * d + 1) for k, s, d in zip(kernel, strides, dilations, strict=True)]


def _distribute(totals: list[int], mode: str) -> list[int]:
    """ONNX pads (all begins, then all ends); the odd pixel goes to the end for SAME_UPPER, else to the begin."""
    small = [total // 2 for total in totals]
    large = [total - total // 2 for total in totals]
    return small + large if mode == "SAME_UPPER" else large + small


def pool_over_image(editor: Editor, node: ir.Node) -> bool:
    """AveragePool, MaxPool whose one window is the image -> GlobalAveragePool, GlobalMaxPool."""
    data = node.inputs[0]
    if data is None or len(shape_of(data)) != 4 or not is_float(data) or len(node.outputs) > 1:
        return False
    whole = (
        attribute(node, "kernel_shape", ()) == shape_of(data)[2:]
        and shape_of(node.outputs[0])[2:] == (1, 1)
        and not any(attribute(node, "pads", ()))
        and set(attribute(node, "dilations", ())) <= {1}
    )
    if whole:
        editor.become(node, f"Global{node.op_type}", [data])
    return whole


def reduce_over_image(editor: Editor, node: ir.Node) -> bool:
    """ReduceMean, ReduceMax over height and width -> GlobalAveragePool, GlobalMaxPool, and Reshape if keepdims=0."""
    data = node.inputs[0]
    axes = reduction_axes(node)
    if data is None or len(shape_of(data)) != 4 or not is_float(data) or axes != (2, 3):
        return False
    op_type = {"ReduceMean": "GlobalAveragePool", "ReduceMax": "GlobalMaxPool"}[node.op_type]
    if attribute(node, "keepdims", 1):
        editor.become(node, op_type, [data])
    else:
        editor.view(node, editor.insert(node, op_type, [data], shape=(*shape_of(data)[:2], 1, 1)))
    return True


def reduction_axes(node: ir.Node) -> tuple[int, ...] | None:
    """Constant axes of a reduction, normalised; None if there are none (all axes) or they are computed."""
    data = node.inputs[0]
    axes = attribute(node, "axes", None) or integers(operand(node, 1))
    return normalised_axes(axes, len(shape_of(data))) if axes and data is not None else None


def pad(editor: Editor, node: ir.Node) -> bool:
    """Pad of some axes -> Pad with amounts for all axes."""
    data, axes, amounts = node.inputs[0], integers(operand(node, 3)), integers(operand(node, 1))
    if data is None or axes is None or amounts is None:
        return False
    rank = len(shape_of(data))
    full = [0] * (2 * rank)
    for position, axis in enumerate(axes):
        full[axis % rank] = amounts[position]
        full[axis % rank + rank] = amounts[position + len(axes)]
    fill = operand(node, 2)
    inputs = [data, editor.integers(f"{node.name}/pads", full), *([] if fill is None else [fill])]
    editor.become(node, "Pad", inputs, {"mode": attribute(node, "mode", "constant")})
    return True


def gemm(editor: Editor, node: ir.Node) -> bool:
    """Gemm -> Gemm(x, w, b) with constant w [K, N] and b [N] and no attributes, or MatMul of two activations.

    ``alpha * A' @ B' + beta * C``: alpha and the transposition of B go into w, beta into b; A is transposed by a
    node; what of C is no row vector is added by a node.
    """
    left, right, addend = node.inputs[0], node.inputs[1], operand(node, 2)
    if left is None or right is None or not is_float(left):
        return False
    alpha, beta = attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)
    transposed = bool(attribute(node, "transB", 0))
    shape = shape_of(node.outputs[0])
    if beta == 0 or addend is None:
        addend, beta = None, 1.0
    weight, row = constant(right), _row(addend, shape[1])
    if weight is not None and not node.attributes and (addend is None or shape_of(addend) == shape[1:] == _shape(row)):
        return False
    if attribute(node, "transA", 0):
        left = _transposed(editor, node, left)
    if weight is None:
        op_type, inputs = "MatMul", [left, _transposed(editor, node, right) if transposed else right]
    else:
        if transposed or alpha != 1:
            right = editor.constant(f"{node.name}/weight", _times(weight.T if transposed else weight, alpha))
        op_type, inputs, alpha = "Gemm", [left, right], 1.0
        if row is not None and addend is not None:
            unchanged = beta == 1 and shape_of(addend) == row.shape
            inputs.append(addend if unchanged else editor.constant(f"{node.name}/bias", _times(row, beta)))
            addend = None
    if alpha == 1 and addend is None:
        editor.become(node, op_type, inputs)
        return True
    product = editor.insert(node, op_type, inputs, shape=shape)
    if addend is None:
        editor.become(node, "Mul", [product, editor.number(f"{node.name}/alpha", alpha, product)])
        return True
    if alpha != 1:
        factor = editor.number(f"{node.name}/alpha", alpha, product)
        product = editor.insert(node, "Mul", [product, factor], shape=shape)
    if beta != 1:
        added = constant(addend)
        if added is not None:
            addend = editor.constant(f"{node.name}/bias", _times(added, beta))
        else:
            factor = editor.number(f"{node.name}/beta", beta, product)
            addend = editor.insert(node, "Mul", [addend, factor], shape=shape_of(addend))
    editor.become(node, "Add", [product, addend])
    return True


def _row(addend: ir.Value | None, columns: int) -> Array | None:
    """A constant that adds the same row to every row, as an array of shape [columns]."""
    data = constant(addend)
    if data is None or data.size not in (1, columns) or (data.size > 1 and data.shape[-1] != columns):
        return None
    return np.broadcast_to(data.reshape(-1), (columns,))


def _shape(data: Array | None) -> tuple[int, ...] | None:
    return None if data is None else data.shape


def _times(data: Array, factor: float) -> Array:
    return data if factor == 1 else (data * np.float64(factor)).astype(data.dtype)


def _transposed(editor: Editor, node: ir.Node, matrix: ir.Value) -> ir.Value:
    rows, columns = shape_of(matrix)
    return editor.insert(node, "Transpose", [matrix], {"perm": [1, 0]}, shape=(columns, rows))


def _dtype(value: ir.Value) -> np.dtype[np.generic]:
    dtype: np.dtype[np.generic] = value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)
    return dtype
