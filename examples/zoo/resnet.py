"""ResNet-18 and ResNet-50 (He et al. 2016), as in torchvision: stride in the 3x3 convolution of a bottleneck."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx

from examples.zoo.builder import Builder, Value, conv_bn, identity, relu

BRANCH_SCALE = 0.3
"""Gamma of a residual branch's last normalisation: keeps the sum of many branches in range."""

Block = Callable[[Builder, Value, int, int], Value]


def resnet18(seed: int) -> onnx.ModelProto:
    return _resnet("resnet18", seed, _basic_block, (2, 2, 2, 2))


def resnet50(seed: int) -> onnx.ModelProto:
    return _resnet("resnet50", seed, _bottleneck, (3, 4, 6, 3))


def _resnet(name: str, seed: int, block: Block, depths: Sequence[int]) -> onnx.ModelProto:
    b = Builder(name, seed)
    x = conv_bn(b, b.input("input", (1, 3, 224, 224)), 64, 7, stride=2)
    x = b.max_pool(x, 3, 2, pad=1)
    for stage, depth in enumerate(depths):
        for index in range(depth):
            x = block(b, x, 64 << stage, 2 if stage and not index else 1)
    return b.finish(logits=b.dense(b.global_pool(x), 1000))


def _basic_block(b: Builder, x: Value, width: int, stride: int) -> Value:
    y = conv_bn(b, x, width, 3, stride=stride)
    y = conv_bn(b, y, width, 3, scale=BRANCH_SCALE, activation=identity)
    return relu(b, b.op("Add", y, _shortcut(b, x, width, stride)))


def _bottleneck(b: Builder, x: Value, width: int, stride: int) -> Value:
    y = conv_bn(b, x, width, 1)
    y = conv_bn(b, y, width, 3, stride=stride)
    y = conv_bn(b, y, 4 * width, 1, scale=BRANCH_SCALE, activation=identity)
    return relu(b, b.op("Add", y, _shortcut(b, x, 4 * width, stride)))


def _shortcut(b: Builder, x: Value, channels: int, stride: int) -> Value:
    if x.channels == channels and stride == 1:
        return x
    return conv_bn(b, x, channels, 1, stride=stride, activation=identity)
