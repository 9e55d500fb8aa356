"""RetinaFace with the MobileNet-0.25 backbone (Deng et al. 2020), as in biubug6/Pytorch_Retinaface, input 640 x 640.

Feature pyramid over strides 8, 16 and 32, a context module (SSH) per level, three heads per level. Outputs for 16,800
anchors: boxes (4 numbers), classes (2 logits; the published export applies a softmax), landmarks (10 numbers).
"""

from __future__ import annotations

import numpy as np
import onnx

from examples.zoo.builder import Builder, Value, conv_bn, identity, leaky_relu, relu
from examples.zoo.mobilenet import separable

STAGES = (
    ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1)),
    ((128, 2), *((128, 1),) * 5),
    ((256, 2), (256, 1)),
)
"""(output channels, stride) of the separable convolutions down to strides 8, 16 and 32."""

WIDTH = 64
ANCHORS = 2


def retinaface(seed: int) -> onnx.ModelProto:
    b = Builder("retinaface", seed)
    x = conv_bn(b, b.input("input", (1, 3, 640, 640)), 8, 3, stride=2, activation=leaky_relu)
    levels = []
    for stage in STAGES:
        for channels, stride in stage:
            x = separable(b, x, channels, stride, activation=leaky_relu)
        levels.append(x)
    features = [_context(b, level) for level in _pyramid(b, levels)]
    outputs = {"boxes": 4, "classes": 2, "landmarks": 10}
    return b.finish(**{name: _head(b, features, numbers) for name, numbers in outputs.items()})


def _pyramid(b: Builder, levels: list[Value]) -> tuple[Value, Value, Value]:
    fine, middle, coarse = (conv_bn(b, level, WIDTH, 1, activation=leaky_relu) for level in levels)
    middle = conv_bn(b, b.op("Add", middle, _upsample(b, coarse)), WIDTH, 3, activation=leaky_relu, gain=1.0)
    fine = conv_bn(b, b.op("Add", fine, _upsample(b, middle)), WIDTH, 3, activation=leaky_relu, gain=1.0)
    return fine, middle, coarse


def _upsample(b: Builder, x: Value) -> Value:
    return b.op(
        "Resize", x, None, np.array([1, 1, 2, 2], np.float32),
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip


def _context(b: Builder, x: Value) -> Value:
    """SSH: receptive fields of 3, 5 and 7 pixels side by side."""
    three = conv_bn(b, x, WIDTH // 2, 3, activation=identity)
    shared = conv_bn(b, x, WIDTH // 4, 3, activation=leaky_relu)
    five = conv_bn(b, shared, WIDTH // 4, 3, activation=identity)
    seven = conv_bn(b, shared, WIDTH // 4, 3, activation=leaky_relu)
    seven = conv_bn(b, seven, WIDTH // 4, 3, activation=identity)
    return relu(b, b.concat(three, five, seven))


def _head(b: Builder, features: list[Value], numbers: int) -> Value:
    """One 1x1 convolution per level, rearranged to (1, all anchors, `numbers`)."""
    flat = []
    for feature in features:
        y = b.conv(feature, ANCHORS * numbers, 1, bias=True, gain=1.0)
        flat.append(b.reshape(b.transpose(y, 0, 2, 3, 1), 1, -1, numbers))
    return b.concat(*flat)
