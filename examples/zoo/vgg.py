"""VGG-16 (Simonyan & Zisserman 2015, configuration D), without the dropout of training."""

from __future__ import annotations

import onnx

from examples.zoo.builder import Builder, relu


def vgg16(seed: int) -> onnx.ModelProto:
    b = Builder("vgg16", seed)
    x = b.input("input", (1, 3, 224, 224))
    for channels, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            x = relu(b, b.conv(x, channels, 3, bias=True))
        x = b.max_pool(x, 2, 2)
    x = b.op("Flatten", x, axis=1)
    for _ in range(2):
        x = relu(b, b.dense(x, 4096, gain=2.0))
    return b.finish(logits=b.dense(x, 1000))
