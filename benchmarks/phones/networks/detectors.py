"""Detectors: SSDs on MobileNets, small YOLOs, BlazeFace, NanoDet; without their post-processing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from benchmarks.phones.networks.classic import squeezenet_features
from benchmarks.phones.networks.mobile import V2, shufflenet_v2_features, v1_features, v2_features, v3_features
from benchmarks.phones.networks.sketch import (
    Builder,
    Value,
    conv_bn,
    hard_swish,
    identity,
    image,
    leaky,
    relu,
    relu6,
)


def _heads(b: Builder, maps: Sequence[Value], classes: int, anchors: Sequence[int], kernel: int = 1) -> onnx.ModelProto:
    """SSD's two convolutions per map, flattened and joined."""
    boxes: list[Value] = []
    scores: list[Value] = []
    for x, count in zip(maps, anchors, strict=True):
        for channels, found in ((4 * count, boxes), (classes * count, scores)):
            y = b.transpose(b.conv(x, channels, kernel, bias=True), 0, 2, 3, 1)
            found.append(b.reshape(y, 1, -1))
    return b.finish(boxes=b.concat(*boxes), scores=b.concat(*scores))


def upsample(b: Builder, x: Value, factor: int = 2) -> Value:
    n, c, h, w = x.shape
    return b.op("Resize", x, None, None, np.array([n, c, h * factor, w * factor], np.int64), mode="nearest",
                nearest_mode="floor", coordinate_transformation_mode="asymmetric")  # fmt: skip


def mobilenet_ssd() -> onnx.ModelProto:
    """MobileNet-SSD of Caffe, 300 pixels, 21 classes."""
    b, x = image("mobilenet_ssd", 300)
    features = v1_features(b, x)
    maps = [features[11], features[13]]
    for middle, channels in ((256, 512), (128, 256), (128, 256), (64, 128)):
        maps.append(conv_bn(b, conv_bn(b, maps[-1], middle, 1), channels, 3, stride=2))
    return _heads(b, maps, 21, (3, 6, 6, 6, 6, 6))


def squeezenet_ssd() -> onnx.ModelProto:
    b, x = image("squeezenet_ssd", 300)
    features = squeezenet_features(b, x, 1.1)
    maps = [features[3], features[7]]
    for middle, channels in ((256, 512), (128, 256), (128, 256), (64, 128)):
        maps.append(conv_bn(b, conv_bn(b, maps[-1], middle, 1), channels, 3, stride=2))
    return _heads(b, maps, 21, (4, 6, 6, 6, 4, 4), 3)


def ssd_mobilenet_v3_large() -> onnx.ModelProto:
    """SSDLite of PaddleDetection on MobileNetV3-Large, 320 pixels, 81 classes."""
    b, x = image("ssd_mobilenet_v3_large", 320)
    features = v3_features(b, x, True)
    maps = [conv_bn(b, features[12], 672, 1, activation=hard_swish), conv_bn(b, features[15], 480, 1)]
    for middle, channels in ((256, 512), (128, 256), (128, 256), (64, 128)):
        y = conv_bn(b, maps[-1], middle, 1, activation=relu6)
        y = conv_bn(b, y, middle, 3, stride=2, group=middle, activation=relu6)
        maps.append(conv_bn(b, y, channels, 1, activation=relu6))
    boxes: list[Value] = []
    scores: list[Value] = []
    for x, count in zip(maps, (3, 6, 6, 6, 6, 6), strict=True):
        for channels, found in ((4 * count, boxes), (81 * count, scores)):
            y = b.conv(conv_bn(b, x, x.channels, 3, group=x.channels, activation=relu6), channels, 1, bias=True)
            found.append(b.reshape(b.transpose(y, 0, 2, 3, 1), 1, -1))
    return b.finish(boxes=b.concat(*boxes), scores=b.concat(*scores))


def mobilenet_yolo() -> onnx.ModelProto:
    """MobileNet-YOLOv3-Lite of Caffe at 416 pixels: separable heads at strides 32 and 16."""
    b, x = image("mobilenet_yolo", 416)
    features = v1_features(b, x)
    x = features[13]

    def separable(x: Value, channels: int) -> Value:
        return conv_bn(b, conv_bn(b, x, x.channels, 3, group=x.channels), channels, 1)

    coarse = conv_bn(b, separable(conv_bn(b, separable(x, 1024), 512, 1), 1024), 512, 1)
    first = b.conv(separable(coarse, 1024), 75, 1, bias=True)
    y = upsample(b, conv_bn(b, coarse, 512, 1))
    y = separable(b.op("Add", y, features[11]), 512)
    second = b.conv(separable(separable(y, 512), 1024), 75, 1, bias=True)
    return b.finish(coarse=first, fine=second)


def mobilenet_v2_yolov3() -> onnx.ModelProto:
    """MobileNetV2-YOLOv3 of Caffe at 352 pixels, heads at strides 32 and 16."""
    b, x = image("mobilenet_v2_yolov3", 352)
    features = v2_features(b, x, V2)
    x = conv_bn(b, features[-1], 1280, 1, activation=relu6)

    def separable(x: Value, channels: int) -> Value:
        return conv_bn(b, conv_bn(b, x, x.channels, 3, group=x.channels), channels, 1)

    coarse = separable(x, 576)
    first = b.conv(coarse, 75, 1, bias=True)
    y = b.op("Add", upsample(b, coarse), conv_bn(b, features[13], 576, 1))
    return b.finish(coarse=first, fine=b.conv(separable(y, 576), 75, 1, bias=True))


def yolov4_tiny() -> onnx.ModelProto:
    b, x = image("yolov4_tiny", 416)
    x = conv_bn(b, conv_bn(b, x, 32, 3, stride=2, activation=leaky), 64, 3, stride=2, activation=leaky)
    route = x
    for channels in (64, 128, 256):
        x = conv_bn(b, x, channels, 3, activation=leaky)
        _, half = b.ops("Split", 2, x, np.array([channels // 2] * 2, np.int64), axis=1)
        y = conv_bn(b, half, channels // 2, 3, activation=leaky)
        z = conv_bn(b, y, channels // 2, 3, activation=leaky)
        route = conv_bn(b, b.concat(z, y), channels, 1, activation=leaky)
        x = b.max_pool(b.concat(x, route), 2, 2)
    x = conv_bn(b, x, 512, 3, activation=leaky)
    x = conv_bn(b, x, 256, 1, activation=leaky)
    coarse = b.conv(conv_bn(b, x, 512, 3, activation=leaky), 255, 1, bias=True)
    y = b.concat(upsample(b, conv_bn(b, x, 128, 1, activation=leaky)), route)
    return b.finish(coarse=coarse, fine=b.conv(conv_bn(b, y, 256, 3, activation=leaky), 255, 1, bias=True))


def blazeface() -> onnx.ModelProto:
    """BlazeFace (Bazarevsky et al. 2019), 128 pixels."""

    def block(x: Value, channels: int, stride: int = 1, middle: int = 0) -> Value:
        y = conv_bn(b, x, x.channels, 5, stride=stride, group=x.channels, activation=identity)
        y = conv_bn(b, y, middle or channels, 1, activation=relu if middle else identity)
        if middle:
            y = conv_bn(b, y, middle, 5, group=middle, activation=identity)
            y = conv_bn(b, y, channels, 1, activation=identity)
        if stride > 1:
            x = b.max_pool(x, 2, 2)
        if x.channels < channels:
            x = b.op("Pad", x, np.array([0, 0, 0, 0, 0, channels - x.channels, 0, 0], np.int64))
        return relu(b, b.op("Add", x, y))

    b, x = image("blazeface", 128)
    x = conv_bn(b, x, 24, 5, stride=2)
    x = block(block(x, 24), 24)
    x = block(block(block(x, 48, 2), 48), 48)
    for _ in range(3):
        x = block(x, 96, 2 if x.shape[2] > 16 else 1, 24)
    fine = x
    for _ in range(3):
        x = block(x, 96, 2 if x.shape[2] > 8 else 1, 24)
    return _heads(b, (fine, x), 1, (2, 6))


def nanodet_m() -> onnx.ModelProto:
    """NanoDet-m: ShuffleNetV2 1.0, a PAN without convolutions, two separable layers per head; 320 pixels."""
    b, x = image("nanodet_m", 320)
    laterals = [conv_bn(b, x, 96, 1, activation=leaky) for x in shufflenet_v2_features(b, x)]
    for index in (1, 0):
        laterals[index] = b.op("Add", laterals[index], upsample(b, laterals[index + 1]))
    for index in (1, 2):
        c = b.op("AveragePool", laterals[index - 1], kernel_shape=[2, 2], strides=[2, 2])
        laterals[index] = b.op("Add", laterals[index], c)
    outputs = []
    for x in laterals:
        for _ in range(2):
            x = conv_bn(b, conv_bn(b, x, 96, 3, group=96, activation=leaky), 96, 1, activation=leaky)
        outputs.append(b.reshape(b.transpose(b.conv(x, 112, 1, bias=True), 0, 2, 3, 1), 1, -1, 112))
    return b.finish(scores=b.concat(*outputs, axis=1))
