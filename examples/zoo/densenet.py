"""DenseNet-121 (Huang et al. 2017), as in torchvision: normalisation and activation before each convolution."""

from __future__ import annotations

import onnx

from examples.zoo.builder import Builder, Value, conv_bn, relu

GROWTH = 32
DEPTHS = (6, 12, 24, 16)


def densenet121(seed: int) -> onnx.ModelProto:
    b = Builder("densenet121", seed)
    x = conv_bn(b, b.input("input", (1, 3, 224, 224)), 2 * GROWTH, 7, stride=2)
    x = b.max_pool(x, 3, 2, pad=1)
    for stage, depth in enumerate(DEPTHS):
        if stage:
            x = b.conv(relu(b, b.batch_norm(x)), x.channels // 2, 1)
            x = b.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
        for _ in range(depth):
            x = b.concat(x, _dense_layer(b, x))
    x = relu(b, b.batch_norm(x))
    return b.finish(logits=b.dense(b.global_pool(x), 1000))


def _dense_layer(b: Builder, x: Value) -> Value:
    bottleneck = b.conv(relu(b, b.batch_norm(x)), 4 * GROWTH, 1)
    return b.conv(relu(b, b.batch_norm(bottleneck)), GROWTH, 3)
