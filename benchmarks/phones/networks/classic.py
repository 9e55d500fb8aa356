"""AlexNet, VGG, ResNets and their kin, Inceptions, SqueezeNet, ViT, HRNet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from benchmarks.phones.networks.mobile import classify
from benchmarks.phones.networks.sketch import Builder, Value, conv_bn, identity, image, relu, squeeze_excite


def alexnet(caffe: bool) -> onnx.ModelProto:
    """Caffe's has two groups, 96 to 384 channels and 227 pixels; torchvision's is narrower, without groups."""
    widths, groups = ((96, 256, 384, 384, 256), 2) if caffe else ((64, 192, 384, 256, 256), 1)
    b, x = image("alexnet", 227 if caffe else 224)
    x = relu(b, b.conv(x, widths[0], 11, stride=4, pad=0 if caffe else 2, bias=True))
    x = b.max_pool(x, 3, 2)
    x = b.max_pool(relu(b, b.conv(x, widths[1], 5, group=groups, bias=True)), 3, 2)
    x = relu(b, b.conv(x, widths[2], 3, bias=True))
    x = relu(b, b.conv(x, widths[3], 3, group=groups, bias=True))
    x = b.max_pool(relu(b, b.conv(x, widths[4], 3, group=groups, bias=True)), 3, 2)
    return _vgg_head(b, x)


def _vgg_head(b: Builder, x: Value) -> onnx.ModelProto:
    x = b.op("Flatten", x, axis=1)
    x = relu(b, b.dense(x, 4096))
    return b.finish(logits=b.dense(relu(b, b.dense(x, 4096)), 1000))


def vgg(depths: Sequence[int]) -> onnx.ModelProto:
    b, x = image("vgg")
    for stage, depth in enumerate(depths):
        for _ in range(depth):
            x = relu(b, b.conv(x, min(512, 64 << stage), 3, bias=True))
        x = b.max_pool(x, 2, 2)
    return _vgg_head(b, x)


def resnet(depths: Sequence[int], *, bottleneck: bool, caffe: bool = False, version: int = 1, size: int = 224,
           groups: int = 1, width: int = 64) -> onnx.ModelProto:  # fmt: skip
    """`caffe` puts a bottleneck's stride into its first 1x1; version 2 normalises before it convolves (He 2016b)."""
    b, x = image("resnet", size)
    x = conv_bn(b, x, 64, 7, stride=2, activation=relu if version == 1 else identity)
    x = b.max_pool(x, 3, 2, pad=1)
    for stage, depth in enumerate(depths):
        for index in range(depth):
            channels = (64 << stage) * (4 if bottleneck else 1)
            stride = 2 if stage and not index else 1
            source = x
            if version == 2:
                x = relu(b, b.batch_norm(x))
            if not index and (stride > 1 or source.channels != channels):
                source = conv_bn(b, x, channels, 1, stride=stride, activation=identity)
            inner = (64 << stage) * width * groups // 64 if bottleneck else 64 << stage
            if bottleneck:
                x = conv_bn(b, x, inner, 1, stride=stride if caffe else 1)
                x = conv_bn(b, x, inner, 3, stride=1 if caffe else stride, group=groups)
                x = conv_bn(b, x, channels, 1, activation=identity)
            else:
                x = conv_bn(b, conv_bn(b, x, inner, 3, stride=stride), channels, 3, activation=identity)
            x = b.op("Add", source, x)
            if version == 1:
                x = relu(b, x)
    return classify(b, relu(b, b.batch_norm(x)) if version == 2 else x)


def regnet_y_400mf() -> onnx.ModelProto:
    """RegNetY-400MF (Radosavovic et al. 2020): groups of 8, excitation at a quarter of the block's input."""
    b, x = image("regnet_y_400mf")
    x = conv_bn(b, x, 32, 3, stride=2)
    for channels, depth in ((48, 1), (104, 3), (208, 6), (440, 6)):
        for index in range(depth):
            stride, source = 1 if index else 2, x
            y = conv_bn(b, x, channels, 1)
            y = conv_bn(b, y, channels, 3, stride=stride, group=channels // 8)
            y = squeeze_excite(b, y, round(source.channels / 4))
            y = conv_bn(b, y, channels, 1, activation=identity)
            if not index:
                source = conv_bn(b, source, channels, 1, stride=2, activation=identity)
            x = relu(b, b.op("Add", source, y))
    return classify(b, x)


def squeezenet(size: int, *, version: float = 1.1) -> onnx.ModelProto:
    b, x = image("squeezenet", size)
    return b.finish(logits=b.global_pool(relu(b, b.conv(squeezenet_features(b, x, version)[-1], 1000, 1, bias=True))))


def squeezenet_features(b: Builder, x: Value, version: float) -> list[Value]:
    """The outputs of all fire modules."""
    pools, first = ((2, 4), (64, 3)) if version == 1.1 else ((3, 7), (96, 7))
    x = b.max_pool(relu(b, b.conv(x, first[0], first[1], stride=2, pad=0, bias=True)), 3, 2, ceil_mode=True)
    found = []
    for index, width in enumerate((16, 16, 32, 32, 48, 48, 64, 64)):
        if index in pools:
            x = b.max_pool(x, 3, 2, ceil_mode=True)
        y = relu(b, b.conv(x, width, 1, bias=True))
        x = b.concat(*(relu(b, b.conv(y, 4 * width, kernel, bias=True)) for kernel in (1, 3)))
        found.append(x)
    return found


def vision_transformer(size: int = 384, width: int = 768, depth: int = 12, heads: int = 12) -> onnx.ModelProto:
    """ViT-B/16 (Dosovitskiy et al. 2021)."""
    b, x = image("vision_transformer", size)
    x = b.op("Conv", x, b.normal(width, 3, 16, 16), b.normal(width), kernel_shape=[16, 16], strides=[16, 16])
    tokens = x.shape[2] * x.shape[3]
    x = b.concat(b.parameter("class_token", b.normal(1, 1, width)),
                 b.transpose(b.reshape(x, 1, width, tokens), 0, 2, 1), axis=1)  # fmt: skip
    tokens += 1
    for _ in range(depth):
        y = b.layer_norm(x)
        q, k, v = (b.reshape(b.linear(y, width), 1, tokens, heads, width // heads) for _ in range(3))
        scores = b.op("MatMul", b.transpose(q, 0, 2, 1, 3), b.transpose(k, 0, 2, 3, 1))
        y = b.op("MatMul", b.op("Softmax", scores, axis=-1), b.transpose(v, 0, 2, 1, 3))
        y = b.reshape(b.transpose(y, 0, 2, 1, 3), 1, tokens, width)
        x = b.op("Add", x, b.linear(y, width))
        y = b.linear(b.layer_norm(x), 4 * width)
        y = b.op("Mul", y, b.op("Sigmoid", y))  # stands for GELU
        x = b.op("Add", x, b.linear(y, width))
    x = b.op("ReduceMean", b.layer_norm(x), axes=[1], keepdims=0)
    return b.finish(logits=b.dense(x, 1000))


def fcn_hrnet_w18() -> onnx.ModelProto:
    """HRNet-W18 with a segmentation head for Pascal VOC at 512 x 512, as PaddleSeg publishes it (configs/fcn)."""

    def resize(x: Value, height: int, width: int) -> Value:
        size = np.array((1, x.channels, height, width), np.int64)
        return b.op("Resize", x, None, None, size, mode="linear")

    def basic(x: Value, channels: int) -> Value:
        y = conv_bn(b, conv_bn(b, x, channels, 3), channels, 3, activation=identity)
        return relu(b, b.op("Add", x, y))

    def bottleneck(x: Value, inner: int, stride: int = 1) -> Value:
        y = conv_bn(b, conv_bn(b, x, inner, 1), inner, 3, stride=stride)
        y = conv_bn(b, y, 4 * inner, 1, activation=identity)
        if x.channels != 4 * inner or stride > 1:
            x = conv_bn(b, x, 4 * inner, 1, stride=stride, activation=identity)
        return relu(b, b.op("Add", x, y))

    def exchange(branches: list[Value]) -> list[Value]:
        fused = []
        for target, goal in enumerate(branches):
            total: Value | None = None
            for source, x in enumerate(branches):
                if source > target:
                    x = conv_bn(b, x, goal.channels, 1, activation=identity)
                    x = resize(x, *goal.shape[2:])
                for step in range(target - source):
                    last = step == target - source - 1
                    x = conv_bn(b, x, goal.channels if last else x.channels, 3, stride=2,
                                activation=identity if last else relu)  # fmt: skip
                total = x if total is None else b.op("Add", total, x)
            fused.append(relu(b, total or x))
        return fused

    b, x = image("fcn_hrnet_w18", 512)
    x = conv_bn(b, conv_bn(b, x, 64, 3, stride=2), 64, 3, stride=2)
    for _ in range(4):
        x = bottleneck(x, 64)
    branches = [conv_bn(b, x, 18, 3), conv_bn(b, x, 36, 3, stride=2)]
    for stage, modules in ((2, 1), (3, 4), (4, 3)):
        if stage > 2:
            branches.append(conv_bn(b, branches[-1], 18 << (stage - 1), 3, stride=2))
        for _ in range(modules):
            for _ in range(4):
                branches = [basic(x, x.channels) for x in branches]
            branches = exchange(branches)
    x = b.concat(branches[0], *(resize(x, *branches[0].shape[2:]) for x in branches[1:]))
    x = b.conv(conv_bn(b, x, x.channels, 1), 21, 1, bias=True)
    return b.finish(classes=b.op("ArgMax", resize(x, 512, 512), axis=1))
