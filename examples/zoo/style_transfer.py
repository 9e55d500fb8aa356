"""Fast style transfer (Johnson, Alahi & Fei-Fei 2016) in its two published forms.

`fast_style_transfer`: reflection pads and nearest upsampling, as in pytorch/examples fast_neural_style, at 480 x 640.
`fast_style_transfer_deconv`: the paper's supplementary table: one 40-pixel reflection pad, residual blocks without
padding whose shortcut is cropped, transposed convolutions, scaled tanh, at 256 x 256. Both with instance
normalisation (Ulyanov et al. 2016), which replaced the paper's batch normalisation in all later releases.
"""

from __future__ import annotations

import numpy as np
import onnx

from examples.zoo.builder import Builder, Value, relu

RESIDUAL_BLOCKS = 5


def fast_style_transfer(seed: int) -> onnx.ModelProto:
    b = Builder("fast_style_transfer", seed)

    def layer(x: Value, channels: int, kernel: int, stride: int = 1) -> Value:
        return b.conv(_reflect(b, x, kernel // 2), channels, kernel, stride=stride, pad=0, bias=True)

    x = b.input("input", (1, 3, 480, 640))
    for channels, kernel, stride in ((32, 9, 1), (64, 3, 2), (128, 3, 2)):
        x = relu(b, b.instance_norm(layer(x, channels, kernel, stride)))
    for _ in range(RESIDUAL_BLOCKS):
        y = relu(b, b.instance_norm(layer(x, 128, 3)))
        x = b.op("Add", b.instance_norm(layer(y, 128, 3), scale=0.5), x)
    for channels in (64, 32):
        x = relu(b, b.instance_norm(layer(_upsample(b, x), channels, 3)))
    return b.finish(image=layer(x, 3, 9))


def fast_style_transfer_deconv(seed: int) -> onnx.ModelProto:
    b = Builder("fast_style_transfer_deconv", seed)
    x = _reflect(b, b.input("input", (1, 3, 256, 256)), 40)
    for channels, kernel, stride in ((32, 9, 1), (64, 3, 2), (128, 3, 2)):
        x = relu(b, b.instance_norm(b.conv(x, channels, kernel, stride=stride, bias=True)))
    for _ in range(RESIDUAL_BLOCKS):
        y = relu(b, b.instance_norm(b.conv(x, 128, 3, pad=0, bias=True)))
        y = b.instance_norm(b.conv(y, 128, 3, pad=0, bias=True), scale=0.5)
        x = b.op("Add", y, _crop(b, x, 2))
    for channels in (64, 32):
        x = relu(b, b.instance_norm(b.conv_transpose(x, channels, 3, stride=2, pad=1, output_padding=1)))
    x = b.conv(x, 3, 9, bias=True, gain=0.5)
    return b.finish(image=b.op("Mul", b.op("Tanh", x), np.array(150, np.float32)))


def _reflect(b: Builder, x: Value, width: int) -> Value:
    pads = np.array([0, 0, width, width, 0, 0, width, width], np.int64)
    return b.op("Pad", x, pads, mode="reflect")


def _upsample(b: Builder, x: Value) -> Value:
    return b.op(
        "Resize", x, None, np.array([1, 1, 2, 2], np.float32),
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip


def _crop(b: Builder, x: Value, border: int) -> Value:
    return b.op("Slice", x, *(np.array([v, v], np.int64) for v in (border, -border)), np.array([2, 3], np.int64))
