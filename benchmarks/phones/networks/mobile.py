"""MobileNets and what was made in their likeness."""

from __future__ import annotations

import numpy as np
import onnx

from benchmarks.phones.networks.sketch import (
    Builder,
    Value,
    conv_bn,
    hard_swish,
    identity,
    image,
    inverted_residual,
    relu,
    relu6,
    rounded,
    silu,
    squeeze_excite,
)

V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
V2_CAFFE = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 1), (6, 96, 3, 2), (6, 160, 3, 2), (6, 320, 1, 1))
"""The Caffe model keeps 64 channels at 28 x 28: 416 M multiply-adds instead of 301 M."""
V3_LARGE = (
    (3, 16, 16, 0, 0, 1), (3, 64, 24, 0, 0, 2), (3, 72, 24, 0, 0, 1), (5, 72, 40, 1, 0, 2), (5, 120, 40, 1, 0, 1),
    (5, 120, 40, 1, 0, 1), (3, 240, 80, 0, 1, 2), (3, 200, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1),
    (3, 480, 112, 1, 1, 1), (3, 672, 112, 1, 1, 1), (5, 672, 160, 1, 1, 2), (5, 960, 160, 1, 1, 1),
    (5, 960, 160, 1, 1, 1),
)  # fmt: skip
V3_SMALL = (
    (3, 16, 16, 1, 0, 2), (3, 72, 24, 0, 0, 2), (3, 88, 24, 0, 0, 1), (5, 96, 40, 1, 1, 2), (5, 240, 40, 1, 1, 1),
    (5, 240, 40, 1, 1, 1), (5, 120, 48, 1, 1, 1), (5, 144, 48, 1, 1, 1), (5, 288, 96, 1, 1, 2), (5, 576, 96, 1, 1, 1),
    (5, 576, 96, 1, 1, 1),
)  # fmt: skip
"""(kernel, expanded, channels, squeeze-and-excite, hard swish, stride)."""


def classify(b: Builder, x: Value, classes: int = 1000) -> onnx.ModelProto:
    return b.finish(logits=b.dense(b.global_pool(x), classes))


def v1_features(b: Builder, x: Value, width: float = 1.0, last: int = 99) -> list[Value]:
    """The outputs of the first convolution and of every separable one."""
    found = [conv_bn(b, x, rounded(32 * width), 3, stride=2)]
    for channels, stride in V1[:last]:
        y = conv_bn(b, found[-1], found[-1].channels, 3, stride=stride, group=found[-1].channels)
        found.append(conv_bn(b, y, rounded(channels * width), 1))
    return found


def mobilenet_v1(width: float = 1.0, size: int = 224) -> onnx.ModelProto:
    b, x = image("mobilenet_v1", size)
    return classify(b, v1_features(b, x, width)[-1])


def v2_features(
    b: Builder, x: Value, stages: tuple[tuple[int, int, int, int], ...] = V2, width: float = 1.0
) -> list[Value]:
    """The outputs of all blocks."""
    found = [conv_bn(b, x, rounded(32 * width), 3, stride=2, activation=relu6)]
    for expansion, channels, repeats, stride in stages:
        for index in range(repeats):
            found.append(inverted_residual(
                b, found[-1], rounded(channels * width), expanded=expansion * found[-1].channels,
                stride=1 if index else stride,
            ))  # fmt: skip
    return found


def mobilenet_v2(stages: tuple[tuple[int, int, int, int], ...] = V2, size: int = 224) -> onnx.ModelProto:
    b, x = image("mobilenet_v2", size)
    return classify(b, conv_bn(b, v2_features(b, x, stages)[-1], 1280, 1, activation=relu6))


def v3_features(b: Builder, x: Value, large: bool, width: float = 1.0, minimal: bool = False) -> list[Value]:
    found = [conv_bn(b, x, 16, 3, stride=2, activation=relu if minimal else hard_swish)]
    for kernel, expanded, channels, excite, hard, stride in V3_LARGE if large else V3_SMALL:
        hidden = rounded(expanded * width)
        found.append(inverted_residual(
            b, found[-1], rounded(channels * width), expanded=hidden, kernel=3 if minimal else kernel, stride=stride,
            activation=hard_swish if hard and not minimal else relu,
            squeezed=rounded(hidden / 4) if excite and not minimal else 0, hard=True,
        ))  # fmt: skip
    return found


def mobilenet_v3(large: bool, width: float = 1.0, minimal: bool = False) -> onnx.ModelProto:
    b, x = image("mobilenet_v3")
    act = relu if minimal else hard_swish
    x = conv_bn(b, v3_features(b, x, large, width, minimal)[-1], rounded((960 if large else 576) * width), 1)
    x = b.conv(b.op("GlobalAveragePool", act(b, x)), 1280 if large else 1024, 1, bias=True)
    return b.finish(logits=b.dense(b.op("Flatten", act(b, x), axis=1), 1000))


def shufflenet_v1(scale: float = 1.0, groups: int = 3) -> onnx.ModelProto:
    b, x = image("shufflenet_v1")
    x = b.max_pool(conv_bn(b, x, 24, 3, stride=2), 3, 2, pad=1)
    for stage, units in enumerate((4, 8, 4)):
        channels = int(240 * scale) << stage
        for index in range(units):
            stride, first = (1, False) if index else (2, stage == 0)
            out = channels if index else channels - x.channels
            middle = channels // 4
            y = conv_bn(b, x, middle, 1, group=1 if first else groups)
            n, c, h, w = y.shape
            y = b.reshape(b.transpose(b.reshape(y, n, groups, c // groups, h, w), 0, 2, 1, 3, 4), n, c, h, w)
            y = conv_bn(b, y, middle, 3, stride=stride, group=middle, activation=identity)
            y = conv_bn(b, y, out, 1, group=groups, activation=identity)
            if index:
                x = relu(b, b.op("Add", x, y))
            else:
                pooled = b.op("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
                x = relu(b, b.concat(pooled, y))
    return classify(b, x)


def proxylessnas() -> onnx.ModelProto:
    """ProxylessNAS mobile (Cai et al. 2019): (kernel, expansion, channels, stride)."""
    blocks = (
        (3, 1, 16, 1), (5, 3, 32, 2), (3, 3, 32, 1), (7, 3, 40, 2), (3, 3, 40, 1), (5, 3, 40, 1), (5, 3, 40, 1),
        (7, 6, 80, 2), (5, 3, 80, 1), (5, 3, 80, 1), (5, 3, 80, 1), (5, 6, 96, 1), (5, 3, 96, 1), (5, 3, 96, 1),
        (5, 3, 96, 1), (7, 6, 192, 2), (7, 6, 192, 1), (7, 3, 192, 1), (7, 3, 192, 1), (7, 6, 320, 1),
    )  # fmt: skip
    b, x = image("proxylessnas")
    x = conv_bn(b, x, 32, 3, stride=2, activation=relu6)
    for kernel, expansion, channels, stride in blocks:
        x = inverted_residual(b, x, channels, expanded=expansion * x.channels, kernel=kernel, stride=stride)
    return classify(b, conv_bn(b, x, 1280, 1, activation=relu6))


def efficientnet_b0() -> onnx.ModelProto:
    stages = (
        (3, 1, 16, 1, 1), (3, 6, 24, 2, 2), (5, 6, 40, 2, 2), (3, 6, 80, 3, 2), (5, 6, 112, 3, 1), (5, 6, 192, 4, 2),
        (3, 6, 320, 1, 1),
    )  # fmt: skip
    b, x = image("efficientnet_b0")
    x = conv_bn(b, x, 32, 3, stride=2, activation=silu)
    for kernel, expansion, channels, repeats, stride in stages:
        for index in range(repeats):
            x = inverted_residual(
                b, x, channels, expanded=expansion * x.channels, kernel=kernel, stride=1 if index else stride,
                activation=silu, squeezed=max(1, x.channels // 4),
            )  # fmt: skip
    return classify(b, conv_bn(b, x, 1280, 1, activation=silu))


def efficientnet_v2_b0() -> onnx.ModelProto:
    """EfficientNetV2-B0 (Tan and Le 2021) at 224: fused blocks first, then inverted residuals with excitation."""
    b, x = image("efficientnet_v2_b0")
    x = conv_bn(b, x, 32, 3, stride=2, activation=silu)
    for expansion, channels, repeats, stride in ((1, 16, 1, 1), (4, 32, 2, 2), (4, 48, 2, 2)):
        for index in range(repeats):
            source, step = x, 1 if index else stride
            if expansion == 1:
                x = conv_bn(b, x, channels, 3, stride=step, activation=silu)
            else:
                x = conv_bn(b, x, expansion * x.channels, 3, stride=step, activation=silu)
                x = conv_bn(b, x, channels, 1, activation=identity)
            if index:
                x = b.op("Add", source, x)
    for expansion, channels, repeats, stride in ((4, 96, 3, 2), (6, 112, 5, 1), (6, 192, 8, 2)):
        for index in range(repeats):
            x = inverted_residual(
                b, x, channels, expanded=expansion * x.channels, stride=1 if index else stride, activation=silu,
                squeezed=x.channels // 4,
            )  # fmt: skip
    return classify(b, conv_bn(b, x, 1280, 1, activation=silu))


def ghostnet() -> onnx.ModelProto:
    """GhostNet 1.0 (Han et al. 2020): half the channels by 1x1, the other half by depthwise 3x3."""
    blocks = (
        (3, 16, 16, 0, 1), (3, 48, 24, 0, 2), (3, 72, 24, 0, 1), (5, 72, 40, 1, 2), (5, 120, 40, 1, 1),
        (3, 240, 80, 0, 2), (3, 200, 80, 0, 1), (3, 184, 80, 0, 1), (3, 184, 80, 0, 1), (3, 480, 112, 1, 1),
        (3, 672, 112, 1, 1), (5, 672, 160, 1, 2), (5, 960, 160, 0, 1), (5, 960, 160, 1, 1), (5, 960, 160, 0, 1),
        (5, 960, 160, 1, 1),
    )  # fmt: skip

    def ghost(x: Value, channels: int, *, active: bool) -> Value:
        activation = relu if active else identity
        first = conv_bn(b, x, channels // 2, 1, activation=activation)
        cheap = conv_bn(b, first, channels // 2, 3, group=channels // 2, activation=activation)
        return b.concat(first, cheap)

    b, x = image("ghostnet")
    x = conv_bn(b, x, 16, 3, stride=2)
    for kernel, expanded, channels, excite, stride in blocks:
        source, y = x, ghost(x, expanded, active=True)
        if stride == 2:
            y = conv_bn(b, y, expanded, kernel, stride=2, group=expanded, activation=identity)
        if excite:
            y = squeeze_excite(b, y, rounded(expanded / 4, 4), hard=True)
        y = ghost(y, channels, active=False)
        if stride == 2 or source.channels != channels:
            source = conv_bn(b, source, source.channels, kernel, stride=stride, group=source.channels)
            source = conv_bn(b, source, channels, 1, activation=identity)
        x = b.op("Add", source, y)
    x = b.op("GlobalAveragePool", conv_bn(b, x, 960, 1))
    x = relu(b, b.conv(x, 1280, 1, bias=True))
    return b.finish(logits=b.dense(b.op("Flatten", x, axis=1), 1000))


def mnasnet(width: float = 1.0) -> onnx.ModelProto:
    """MnasNet-B1 (Tan et al. 2019), as in torchvision."""
    b, x = image("mnasnet")
    x = conv_bn(b, x, 32, 3, stride=2)
    x = conv_bn(b, conv_bn(b, x, 32, 3, group=32), 16, 1, activation=identity)
    for kernel, expansion, channels, repeats, stride in (
        (3, 3, 24, 3, 2), (5, 3, 40, 3, 2), (5, 6, 80, 3, 2), (3, 6, 96, 2, 1), (5, 6, 192, 4, 2), (3, 6, 320, 1, 1),
    ):  # fmt: skip
        for index in range(repeats):
            x = inverted_residual(
                b, x, rounded(channels * width), expanded=expansion * x.channels, kernel=kernel,
                stride=1 if index else stride, activation=relu,
            )  # fmt: skip
    return classify(b, conv_bn(b, x, 1280, 1))


def shufflenet_v2_features(b: Builder, x: Value, widths: tuple[int, int, int] = (116, 232, 464)) -> list[Value]:
    """The outputs of ShuffleNet V2's three stages, 1.0 by default."""
    x = b.max_pool(conv_bn(b, x, 24, 3, stride=2), 3, 2, pad=1)
    found = []
    for channels, units in zip(widths, (4, 8, 4), strict=True):
        half = channels // 2
        for index in range(units):
            if index:
                kept, y = b.ops("Split", 2, x, np.array([half, half], np.int64), axis=1)
            else:
                kept = conv_bn(b, x, x.channels, 3, stride=2, group=x.channels, activation=identity)
                kept, y = conv_bn(b, kept, half, 1), x
            y = conv_bn(b, y, half, 1)
            y = conv_bn(b, y, half, 3, stride=1 if index else 2, group=half, activation=identity)
            y = b.concat(kept, conv_bn(b, y, half, 1))
            n, c, h, w = y.shape
            x = b.reshape(b.transpose(b.reshape(y, n, 2, c // 2, h, w), 0, 2, 1, 3, 4), n, c, h, w)
        found.append(x)
    return found
