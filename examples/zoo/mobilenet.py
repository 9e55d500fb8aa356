"""MobileNet V1, V2 and V3-Small (Howard et al. 2017, Sandler et al. 2018, Howard et al. 2019)."""

from __future__ import annotations

import numpy as np
import onnx

from examples.zoo.builder import Activation, Builder, Value, conv_bn, hard_swish, identity, relu, relu6

V1_STAGES = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""(output channels, stride) of V1's separable convolutions."""

V2_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""(expansion, output channels, repeats, first stride), table 2 of the paper."""

V3_SMALL = (
    (3, 16, 16, True, relu, 2),
    (3, 72, 24, False, relu, 2),
    (3, 88, 24, False, relu, 1),
    (5, 96, 40, True, hard_swish, 2),
    (5, 240, 40, True, hard_swish, 1),
    (5, 240, 40, True, hard_swish, 1),
    (5, 120, 48, True, hard_swish, 1),
    (5, 144, 48, True, hard_swish, 1),
    (5, 288, 96, True, hard_swish, 2),
    (5, 576, 96, True, hard_swish, 1),
    (5, 576, 96, True, hard_swish, 1),
)
"""(kernel, expanded channels, output channels, squeeze-and-excite, activation, stride), table 2 of the paper."""


def mobilenetv1(seed: int) -> onnx.ModelProto:
    b = Builder("mobilenetv1", seed)
    x = mobilenetv1_features(b, b.input("input", (1, 3, 224, 224)))
    return b.finish(logits=b.dense(b.global_pool(x), 1000))


def mobilenetv1_features(b: Builder, x: Value) -> Value:
    """The backbone down to stride 32; (1, 1024, h / 32, w / 32)."""
    x = conv_bn(b, x, 32, 3, stride=2, activation=relu6)
    for channels, stride in V1_STAGES:
        x = separable(b, x, channels, stride, activation=relu6)
    return x


def separable(b: Builder, x: Value, channels: int, stride: int, *, activation: Activation) -> Value:
    """Depthwise 3x3 and pointwise convolution, each normalised and activated."""
    x = conv_bn(b, x, x.channels, 3, stride=stride, group=x.channels, activation=activation)
    return conv_bn(b, x, channels, 1, activation=activation)


def mobilenetv2(seed: int) -> onnx.ModelProto:
    b = Builder("mobilenetv2", seed)
    x = conv_bn(b, b.input("input", (1, 3, 224, 224)), 32, 3, stride=2, activation=relu6)
    for expansion, channels, repeats, first_stride in V2_STAGES:
        for index in range(repeats):
            stride = 1 if index else first_stride
            x = _inverted_residual(b, x, 3, expansion * x.channels, channels, False, relu6, stride)
    x = conv_bn(b, x, 1280, 1, activation=relu6, gain=1.0)
    return b.finish(logits=b.dense(b.global_pool(x), 1000))


def mobilenetv3_small(seed: int) -> onnx.ModelProto:
    b = Builder("mobilenetv3_small", seed)
    x = conv_bn(b, b.input("input", (1, 3, 224, 224)), 16, 3, stride=2, activation=hard_swish)
    for kernel, expanded, channels, excite, activation, stride in V3_SMALL:
        x = _inverted_residual(b, x, kernel, expanded, channels, excite, activation, stride)
    x = conv_bn(b, x, 576, 1, activation=hard_swish)
    x = hard_swish(b, b.dense(b.global_pool(x), 1024))
    return b.finish(logits=b.dense(x, 1000, gain=2.0))


def _inverted_residual(
    b: Builder, x: Value, kernel: int, expanded: int, channels: int, excite: bool, activation: Activation, stride: int
) -> Value:
    residual = stride == 1 and x.channels == channels
    y = x
    if expanded != x.channels:
        y = conv_bn(b, y, expanded, 1, activation=activation, gain=1.0)  # reads a linear output
    gain = 3.0 if activation is hard_swish else 2.0  # hard swish passes less than ReLU
    y = conv_bn(b, y, expanded, kernel, stride=stride, group=expanded, activation=activation, gain=gain)
    if excite:
        y = _squeeze_excite(b, y)
    gain = 8.0 if excite else 2.0  # a gate is around one half
    y = conv_bn(b, y, channels, 1, gain=gain, scale=0.5 if residual else 1.0, activation=identity)
    return b.op("Add", x, y) if residual else y


def _squeeze_excite(b: Builder, x: Value) -> Value:
    squeezed = max(8, int(x.channels / 4 + 4) // 8 * 8)  # a multiple of 8, as everywhere in the MobileNets
    if squeezed < 0.9 * x.channels / 4:
        squeezed += 8
    gate = b.op("GlobalAveragePool", x)
    gate = relu(b, b.conv(gate, squeezed, 1, bias=True))
    gate = b.op("HardSigmoid", b.conv(gate, x.channels, 1, bias=True), alpha=float(np.float32(1 / 6)))
    return b.op("Mul", gate, x)
