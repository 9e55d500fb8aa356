"""ShuffleNet V2 x1.0 (Ma et al. 2018), as in torchvision: channel split, concatenation and shuffle."""

from __future__ import annotations

import numpy as np
import onnx

from examples.zoo.builder import Builder, Value, conv_bn, identity

STAGES = ((116, 4), (232, 8), (464, 4))
"""(channels, units) per stage; the first unit of each halves the image."""


def shufflenetv2(seed: int) -> onnx.ModelProto:
    b = Builder("shufflenetv2", seed)
    x = conv_bn(b, b.input("input", (1, 3, 224, 224)), 24, 3, stride=2)
    x = b.max_pool(x, 3, 2, pad=1)
    for channels, units in STAGES:
        x = _shuffle(b, b.concat(_shortcut(b, x, channels // 2), _branch(b, x, channels // 2, 2)))
        for _ in range(units - 1):
            halves = np.array([channels // 2, channels // 2], np.int64)
            kept, worked = b.ops("Split", 2, x, halves, axis=1)
            x = _shuffle(b, b.concat(kept, _branch(b, worked, channels // 2, 1)))
    x = conv_bn(b, x, 1024, 1)
    return b.finish(logits=b.dense(b.op("ReduceMean", x, axes=[2, 3], keepdims=0), 1000))


def _branch(b: Builder, x: Value, channels: int, stride: int) -> Value:
    x = conv_bn(b, x, channels, 1)
    x = conv_bn(b, x, channels, 3, stride=stride, group=channels, gain=1.0, activation=identity)
    return conv_bn(b, x, channels, 1, gain=1.0)


def _shortcut(b: Builder, x: Value, channels: int) -> Value:
    x = conv_bn(b, x, x.channels, 3, stride=2, group=x.channels, gain=1.0, activation=identity)
    return conv_bn(b, x, channels, 1, gain=1.0)


def _shuffle(b: Builder, x: Value, groups: int = 2) -> Value:
    n, c, h, w = x.shape
    x = b.transpose(b.reshape(x, n, groups, c // groups, h, w), 0, 2, 1, 3, 4)
    return b.reshape(x, n, c, h, w)
