"""Networks of Qualcomm's AI Hub whose latencies are published for several placements: see benchmarks/phones/placements.

Their widths, depths and input sizes are those of quic/ai-hub-models; the numbers of parameters that each model's
info.yaml states are tested (XLSR here lacks 3.7 % of them). Post-processing is left out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from benchmarks.phones.networks.detectors import upsample
from benchmarks.phones.networks.mobile import V1, classify, shufflenet_v2_features
from benchmarks.phones.networks.sketch import Builder, Value, conv_bn, identity, image, leaky, relu, silu


def shufflenet_v2(widths: tuple[int, int, int] = (116, 232, 464)) -> onnx.ModelProto:
    """ShuffleNetV2 (Ma et al. 2018), 1.0 by default."""
    b, x = image("shufflenet_v2")
    return classify(b, conv_bn(b, shufflenet_v2_features(b, x, widths)[-1], 1024, 1))


def regnet_x_3_2gf() -> onnx.ModelProto:
    """RegNetX-3.2GF (Radosavovic et al. 2020), as torchvision's: groups of 48."""
    b, x = image("regnet_x_3_2gf")
    x = conv_bn(b, x, 32, 3, stride=2)
    for channels, depth in ((96, 2), (192, 6), (432, 15), (1008, 2)):
        for index in range(depth):
            stride, source = 1 if index else 2, x
            y = conv_bn(b, x, channels, 1)
            y = conv_bn(b, y, channels, 3, stride=stride, group=channels // 48)
            y = conv_bn(b, y, channels, 1, activation=identity)
            if not index:
                source = conv_bn(b, source, channels, 1, stride=2, activation=identity)
            x = relu(b, b.op("Add", source, y))
    return classify(b, x)


def quicksrnet(channels: int, depth: int) -> onnx.ModelProto:
    """QuickSRNet (Berger et al. 2023), 128 pixels to 512."""
    b, x = image("quicksrnet", 128)
    x = relu(b, b.conv(x, channels, 3, bias=True))
    for _ in range(depth):
        x = relu(b, b.conv(x, channels, 3, bias=True))
    return b.finish(image=_larger(b, b.conv(x, 48, 3, bias=True)))


def sesr_m5() -> onnx.ModelProto:
    """SESR-M5 (Bhardwaj et al. 2022), 128 pixels to 512, as it is trained: pairs of linear layers are not collapsed."""

    def pair(x: Value, channels: int, kernel: int) -> Value:
        return b.conv(b.conv(x, 256, kernel, bias=True), channels, 1, bias=True)

    b, x = image("sesr_m5", 128)
    first = x = relu(b, pair(x, 16, 5))
    for _ in range(5):
        x = relu(b, b.op("Add", x, pair(x, 16, 3)))
    return b.finish(image=_larger(b, pair(b.op("Add", first, x), 48, 5)))


def xlsr() -> onnx.ModelProto:
    """XLSR (Ayazoglu 2021), 128 pixels to 512."""
    b, x = image("xlsr", 128)
    y = relu(b, b.conv(x, 32, 3, bias=True))
    for _ in range(3):
        y = b.conv(relu(b, b.conv(y, 32, 3, group=4, bias=True)), 32, 1, bias=True)
    y = b.concat(b.conv(x, 16, 3, bias=True), y)
    y = b.conv(relu(b, b.conv(y, 32, 1, bias=True)), 48, 3, bias=True)
    return b.finish(image=_larger(b, b.op("Clip", y, np.array(0, np.float32), np.array(1, np.float32))))


def posenet_mobilenet() -> onnx.ModelProto:
    """PoseNet on MobileNetV1, 513 x 257: stride 16, the last stage dilated, which changes neither work nor shapes."""
    b, x = image("posenet_mobilenet", 513, 257)
    x = conv_bn(b, x, 32, 3, stride=2)
    strides = 2
    for channels, stride in V1:
        stride = stride if strides < 16 else 1
        strides *= stride
        x = conv_bn(b, conv_bn(b, x, x.channels, 3, stride=stride, group=x.channels), channels, 1)
    heads = {"heatmaps": 17, "offsets": 34, "forward": 32, "backward": 32}
    return b.finish(**{name: b.conv(x, channels, 1, bias=True) for name, channels in heads.items()})


def yolov8n() -> onnx.ModelProto:
    """YOLOv8n of Ultralytics at 640 pixels."""

    def conv(x: Value, channels: int, kernel: int = 3, stride: int = 1) -> Value:
        return conv_bn(b, x, channels, kernel, stride=stride, activation=silu)

    def c2f(x: Value, channels: int, repeats: int, shortcut: bool) -> Value:
        parts = list(b.ops("Split", 2, conv(x, channels, 1), _halves(channels), axis=1))
        for _ in range(repeats):
            y = conv(conv(parts[-1], channels // 2), channels // 2)
            parts.append(b.op("Add", parts[-1], y) if shortcut else y)
        return conv(b.concat(*parts), channels, 1)

    b, x = image("yolov8n", 640)
    x = conv(x, 16, 3, 2)
    maps = []
    for channels, repeats in ((32, 1), (64, 2), (128, 2), (256, 1)):
        x = c2f(conv(x, channels, 3, 2), channels, repeats, True)
        maps.append(x)
    _, small, middle, large = maps
    large = _pyramid_pool(b, large, conv)
    middle = c2f(b.concat(upsample(b, large), middle), 128, 1, False)
    small = c2f(b.concat(upsample(b, middle), small), 64, 1, False)
    middle = c2f(b.concat(conv(small, 64, 3, 2), middle), 128, 1, False)
    large = c2f(b.concat(conv(middle, 128, 3, 2), large), 256, 1, False)
    found = []
    for x in (small, middle, large):
        boxes = b.conv(conv(conv(x, 64), 64), 64, 1, bias=True)
        scores = b.conv(conv(conv(x, 80), 80), 80, 1, bias=True)
        found.append(b.reshape(b.concat(boxes, scores), 1, 144, -1))
    boxes, scores = b.ops("Split", 2, b.concat(*found, axis=2), np.array([64, 80], np.int64), axis=1)
    boxes = b.transpose(b.reshape(boxes, 1, 4, 16, -1), 0, 2, 1, 3)
    boxes = b.conv(b.op("Softmax", boxes, axis=1), 1, 1)
    return b.finish(boxes=boxes, scores=b.op("Sigmoid", scores))


def yolov7_tiny() -> onnx.ModelProto:
    """YOLOv7-tiny (Wang et al. 2022) at 640 pixels."""

    def conv(x: Value, channels: int, kernel: int = 1, stride: int = 1) -> Value:
        return conv_bn(b, x, channels, kernel, stride=stride, activation=leaky)

    def elan(x: Value, inner: int) -> Value:
        beside, first = conv(x, inner), conv(x, inner)
        second = conv(first, inner, 3)
        return conv(b.concat(conv(second, inner, 3), second, first, beside), 2 * inner)

    b, x = image("yolov7_tiny", 640)
    x = elan(conv(conv(x, 32, 3, 2), 64, 3, 2), 32)
    maps = []
    for inner in (64, 128, 256):
        x = elan(b.max_pool(x, 2, 2), inner)
        maps.append(x)
    beside, y = conv(x, 256), conv(x, 256)
    pools = [b.max_pool(y, kernel, 1, pad=kernel // 2) for kernel in (13, 9, 5)]
    large = conv(b.concat(conv(b.concat(*pools, y), 256), beside), 256)
    middle = elan(b.concat(conv(maps[1], 128), upsample(b, conv(large, 128))), 64)
    small = elan(b.concat(conv(maps[0], 64), upsample(b, conv(middle, 64))), 32)
    middle = elan(b.concat(conv(small, 128, 3, 2), middle), 64)
    large = elan(b.concat(conv(middle, 256, 3, 2), large), 128)
    heads = {"small": (small, 128), "middle": (middle, 256), "large": (large, 512)}
    return b.finish(**{name: b.conv(conv(x, c, 3), 255, 1, bias=True) for name, (x, c) in heads.items()})


def yolox_s() -> onnx.ModelProto:
    """YOLOX-S (Ge et al. 2021) at 640 pixels."""

    def conv(x: Value, channels: int, kernel: int = 3, stride: int = 1) -> Value:
        return conv_bn(b, x, channels, kernel, stride=stride, activation=silu)

    def csp(x: Value, channels: int, repeats: int, shortcut: bool) -> Value:
        y = conv(x, channels // 2, 1)
        for _ in range(repeats):
            worked = conv(conv(y, channels // 2, 1), channels // 2)
            y = b.op("Add", y, worked) if shortcut else worked
        return conv(b.concat(y, conv(x, channels // 2, 1)), channels, 1)

    b, x = image("yolox_s", 640)
    x = conv(_smaller(b, x), 32)
    maps = []
    for channels, repeats in ((64, 1), (128, 3), (256, 3)):
        x = csp(conv(x, channels, 3, 2), channels, repeats, True)
        maps.append(x)
    _, small, middle = maps
    x = conv(x, 512, 3, 2)
    y = conv(x, 256, 1)
    x = conv(b.concat(y, *(b.max_pool(y, kernel, 1, pad=kernel // 2) for kernel in (5, 9, 13))), 512, 1)
    upper = conv(csp(x, 512, 1, False), 256, 1)
    lower = conv(csp(b.concat(upsample(b, upper), middle), 256, 1, False), 128, 1)
    small = csp(b.concat(upsample(b, lower), small), 128, 1, False)
    middle = csp(b.concat(conv(small, 128, 3, 2), lower), 256, 1, False)
    large = csp(b.concat(conv(middle, 256, 3, 2), upper), 512, 1, False)
    found = []
    for x in (small, middle, large):
        x = conv(x, 128, 1)
        scores, boxes = conv(conv(x, 128), 128), conv(conv(x, 128), 128)
        scores = b.op("Sigmoid", b.conv(scores, 80, 1, bias=True))
        objects = b.op("Sigmoid", b.conv(boxes, 1, 1, bias=True))
        found.append(b.reshape(b.concat(b.conv(boxes, 4, 1, bias=True), objects, scores), 1, 85, -1))
    return b.finish(found=b.transpose(b.concat(*found, axis=2), 0, 2, 1))


def segformer_b0() -> onnx.ModelProto:
    """SegFormer-B0 (Xie et al. 2021), 512 pixels, 150 classes."""

    def attend(x: Value, ratio: int, heads: int, size: int) -> Value:
        _, tokens, width = x.shape
        source = x
        if ratio > 1:
            y = b.reshape(b.transpose(x, 0, 2, 1), 1, width, size, size)
            y = b.conv(y, width, ratio, stride=ratio, pad=0, bias=True)
            source = b.layer_norm(b.transpose(b.reshape(y, 1, width, -1), 0, 2, 1))
        q = b.reshape(b.linear(x, width), 1, tokens, heads, -1)
        k, v = (b.reshape(b.linear(source, width), 1, source.shape[1], heads, -1) for _ in range(2))
        scores = b.op("MatMul", b.transpose(q, 0, 2, 1, 3), b.transpose(k, 0, 2, 3, 1))
        y = b.op("MatMul", b.op("Softmax", scores, axis=-1), b.transpose(v, 0, 2, 1, 3))
        return b.linear(b.reshape(b.transpose(y, 0, 2, 1, 3), 1, tokens, width), width)

    def mix(x: Value, size: int) -> Value:
        width = x.shape[2]
        y = b.linear(x, 4 * width)
        y = b.reshape(b.transpose(y, 0, 2, 1), 1, 4 * width, size, size)
        y = b.conv(y, 4 * width, 3, group=4 * width, bias=True)
        y = b.op("Mul", y, b.op("Sigmoid", y))  # stands for GELU
        return b.linear(b.transpose(b.reshape(y, 1, 4 * width, -1), 0, 2, 1), width)

    b, x = image("segformer_b0", 512)
    found: list[tuple[Value, int]] = []
    for width, ratio, heads in ((32, 8, 1), (64, 4, 2), (160, 2, 5), (256, 1, 8)):
        x = b.conv(x, width, 3 if found else 7, stride=2 if found else 4, bias=True)
        size = x.shape[2]
        tokens = b.layer_norm(b.transpose(b.reshape(x, 1, width, -1), 0, 2, 1))
        for _ in range(2):
            tokens = b.op("Add", tokens, attend(b.layer_norm(tokens), ratio, heads, size))
            tokens = b.op("Add", tokens, mix(b.layer_norm(tokens), size))
        x = b.reshape(b.transpose(b.layer_norm(tokens), 0, 2, 1), 1, width, size, size)
        found.append((b.linear(b.layer_norm(tokens), 256), size))
    maps = [b.reshape(b.transpose(y, 0, 2, 1), 1, 256, size, size) for y, size in found]
    maps = [maps[0], *(upsample(b, y, 128 // y.shape[2]) for y in maps[1:])]
    return b.finish(classes=b.conv(conv_bn(b, b.concat(*maps), 256, 1), 150, 1, bias=True))


def _halves(channels: int) -> np.ndarray:
    return np.array([channels // 2, channels // 2], np.int64)


def _larger(b: Builder, x: Value) -> Value:
    """Channels to pixels, 4 x 4 of them."""
    return b.op("DepthToSpace", x, blocksize=4, mode="CRD")


def _smaller(b: Builder, x: Value) -> Value:
    """Pixels to channels, as YOLOX's Focus does."""
    return b.op("SpaceToDepth", x, blocksize=2)


def _pyramid_pool(b: Builder, x: Value, conv: Callable[[Value, int, int], Value]) -> Value:
    channels = x.channels
    parts = [conv(x, channels // 2, 1)]
    for _ in range(3):
        parts.append(b.max_pool(parts[-1], 5, 1, pad=2))
    return conv(b.concat(*parts), channels, 1)
