"""Fixes, part 2: layers over one or three spatial axes, written over two."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from hetpart.passes.block import Block
from hetpart.passes.edit import constant, operand, shape_of

_PER_AXIS = ("kernel_shape", "strides", "dilations")


def conv_1d(at: Block) -> bool:
    """Conv and ConvTranspose over a line -> over an image of height 1."""
    weight = constant(operand(at.node, 1))
    if weight is None or weight.ndim != 3 or not _explicit(at):
        return False
    n, c, length = shape_of(at.input(0))
    attributes = _widened(at)
    if (padding := at.attribute("output_padding", None)) is not None:
        attributes["output_padding"] = [0, *padding]
    x = at.reshape(at.input(0), (n, c, 1, length))
    y = at.op(at.node.op_type, x, at.const(weight[:, :, None, :]), operand(at.node, 2), **attributes)
    return at.replace(at.reshape(y, shape_of(at.node.outputs[0])))


def conv_3d(at: Block) -> bool:
    """Conv over a volume -> over images, where the kernel is flat or thin or the volume is.

    A depth of 1 leaves one slice of the kernel; a kernel of height and width 1 works on images (depth, height * width);
    one of depth 1 works on every slice of the volume as on an image of its own.
    """
    weight = constant(operand(at.node, 1))
    if at.node.op_type != "Conv" or weight is None or weight.ndim != 5 or not _explicit(at):
        return False
    x, bias, out = at.input(0), operand(at.node, 2), shape_of(at.node.outputs[0])
    n, c, d, h, w = shape_of(x)
    kd, kh, kw = weight.shape[2:]
    pads = at.attribute("pads", (0,) * 6)
    strides, dilations = at.attribute("strides", (1, 1, 1)), at.attribute("dilations", (1, 1, 1))
    group = at.attribute("group", 1)

    def conv(image: ir.Value, kernel: ir.Value, axes: tuple[int, int], sides: tuple[int, ...]) -> ir.Value:
        chosen = {"strides": [strides[i] for i in axes], "dilations": [dilations[i] for i in axes]}
        size = list(shape_of(kernel)[2:])
        return at.op("Conv", image, kernel, bias, group=group, kernel_shape=size, pads=list(sides), **chosen)

    image_pads = (pads[1], pads[2], pads[4], pads[5])
    if d == 1 and out[2] == 1:
        if pads[0] % dilations[0] or pads[0] // dilations[0] >= kd:
            return False
        slice_ = np.ascontiguousarray(weight[:, :, pads[0] // dilations[0]])
        y = conv(at.reshape(x, (n, c, h, w)), at.const(slice_), (1, 2), image_pads)
    elif kh == kw == 1 and strides[1] == strides[2] == 1 and not any(image_pads):
        kernel = at.const(weight.reshape(*weight.shape[:3], 1))
        sides, steps = [pads[0], 0, pads[3], 0], {"strides": [strides[0], 1], "dilations": [dilations[0], 1]}
        image = at.reshape(x, (n, c, d, h * w))
        y = at.op("Conv", image, kernel, bias, group=group, kernel_shape=[kd, 1], pads=sides, **steps)
    elif kd == 1 and strides[0] == 1 and not pads[0] and not pads[3]:
        slices = at.reshape(at.op("Transpose", x, perm=[0, 2, 1, 3, 4]), (n * d, c, h, w))
        y = conv(slices, at.const(weight[:, :, 0]), (1, 2), image_pads)
        y = at.op("Transpose", at.reshape(y, (n, d, out[1], *out[3:])), perm=[0, 2, 1, 3, 4])
    else:
        return False
    return at.replace(at.reshape(y, out))


def pool(at: Block) -> bool:
    """Pooling over a line or a volume -> over images; a volume's height and width first, then its depth."""
    rank = len(shape_of(at.input(0)))
    averages = at.node.op_type == "AveragePool"
    if rank not in (3, 5) or not _explicit(at) or len(at.node.outputs) > 1:
        return False
    if rank == 5 and at.attribute("ceil_mode", 0):
        return False  # the last window, which reaches beyond the padding, counts fewer elements
    pads = at.attribute("pads", (0,) * (2 * (rank - 2)))
    include = at.attribute("count_include_pad", 0)
    if rank == 5 and averages and any(pads) and not include:
        return False  # how many elements a window holds is a product, but only without rounding in between
    if rank == 5 and any(dilation != 1 for dilation in at.attribute("dilations", (1,))):
        return False
    x = at.input(0)
    out = shape_of(at.node.outputs[0])
    extra = {"count_include_pad": include} if averages else {}
    if rank == 3:
        n, c, length = shape_of(x)
        y = at.op(at.node.op_type, at.reshape(x, (n, c, 1, length)), **_widened(at))
        return at.replace(at.reshape(y, out))
    n, c, d, h, w = shape_of(x)
    kernel, strides = at.attribute("kernel_shape", ()), at.attribute("strides", (1, 1, 1))
    flat = at.op(
        at.node.op_type, at.reshape(x, (n, c * d, h, w)), kernel_shape=list(kernel[1:]), strides=list(strides[1:]),
        pads=[pads[1], pads[2], pads[4], pads[5]], **extra,
    )  # fmt: skip
    upright = at.reshape(flat, (n, c, d, out[3] * out[4]))
    y = at.op(
        at.node.op_type, upright, kernel_shape=[kernel[0], 1], strides=[strides[0], 1],
        pads=[pads[0], 0, pads[3], 0], **extra,
    )  # fmt: skip
    return at.replace(at.reshape(y, out))


def over_image(at: Block) -> bool:
    """Global pooling and instance normalisation over a line or a volume -> over an image with as many points."""
    shape = shape_of(at.input(0))
    if len(shape) < 3 or len(shape) == 4 or 0 in shape:
        return False
    x = at.reshape(at.input(0), (*shape[:2], math.prod(shape[2:-1]), shape[-1]))
    attributes = {name: at.attribute(name, None) for name in at.node.attributes}
    y = at.op(at.node.op_type, x, *at.node.inputs[1:], **attributes)
    return at.replace(at.reshape(y, shape_of(at.node.outputs[0])))


def _explicit(at: Block) -> bool:
    return at.attribute("auto_pad", "NOTSET") == "NOTSET" and not at.attribute("output_shape", ())


def _widened(at: Block) -> dict[str, object]:
    """The attributes of a layer over a line for an image of height 1."""
    given = {name: at.attribute(name, None) for name in at.node.attributes if name != "auto_pad"}
    for name in _PER_AXIS:
        if name in given:
            given[name] = [1, *given[name]]
    if "pads" in given:
        before, after = given["pads"]
        given["pads"] = [0, before, 0, after]
    return given
