"""U-Net (Ronneberger et al. 2015) as in mateuszbuda/brain-segmentation-pytorch: 32 features, batch norm, 256 x 256.

Output: one channel of logits (the published model ends in a sigmoid).
"""

from __future__ import annotations

import onnx

from examples.zoo.builder import Builder, Value, conv_bn

FEATURES = 32
LEVELS = 4


def unet(seed: int) -> onnx.ModelProto:
    b = Builder("unet", seed)
    x = b.input("input", (1, 3, 256, 256))
    skips = []
    for level in range(LEVELS):
        x = _double_conv(b, x, FEATURES << level)
        skips.append(x)
        x = b.max_pool(x, 2, 2)
    x = _double_conv(b, x, FEATURES << LEVELS)
    for level in reversed(range(LEVELS)):
        x = b.conv_transpose(x, FEATURES << level, 2, stride=2)
        x = _double_conv(b, b.concat(x, skips[level]), FEATURES << level)
    return b.finish(logits=b.conv(x, 1, 1, bias=True, gain=1.0))


def _double_conv(b: Builder, x: Value, channels: int) -> Value:
    return conv_bn(b, conv_bn(b, x, channels, 3), channels, 3)
