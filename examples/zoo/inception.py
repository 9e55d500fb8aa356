"""Inception v1, "GoogLeNet" (Szegedy et al. 2015), as in torchvision.

Batch-normalised, without the auxiliary heads, and with a 3x3 convolution in the third branch, where the paper has 5x5:
that is how both torchvision and TensorFlow-Slim published their weights.
"""

from __future__ import annotations

import onnx

from examples.zoo.builder import Builder, Value, conv_bn

POOL = None
BLOCKS = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    POOL,
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    POOL,
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)
"""Channels of: 1x1; 3x3 reduce, 3x3; second 3x3 reduce, 3x3; pool projection."""


def inception_v1(seed: int) -> onnx.ModelProto:
    b = Builder("inception_v1", seed)
    x = conv_bn(b, b.input("input", (1, 3, 224, 224)), 64, 7, stride=2)
    x = b.max_pool(x, 3, 2, ceil_mode=True)
    x = conv_bn(b, conv_bn(b, x, 64, 1), 192, 3)
    x = b.max_pool(x, 3, 2, ceil_mode=True)
    pools = iter(((3, 2), (2, 2)))
    for block in BLOCKS:
        x = b.max_pool(x, *next(pools), ceil_mode=True) if block is POOL else _inception(b, x, *block)
    return b.finish(logits=b.dense(b.global_pool(x), 1000))


def _inception(b: Builder, x: Value, one: int, reduce3: int, three: int, reduce5: int, five: int, pool: int) -> Value:
    return b.concat(
        conv_bn(b, x, one, 1),
        conv_bn(b, conv_bn(b, x, reduce3, 1), three, 3),
        conv_bn(b, conv_bn(b, x, reduce5, 1), five, 3),
        conv_bn(b, b.max_pool(x, 3, 1, pad=1), pool, 1),
    )
