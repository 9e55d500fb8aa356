"""SqueezeNet 1.1 (Iandola et al. 2016), as in torchvision, without dropout and without the activation of the logits."""

from __future__ import annotations

import onnx

from examples.zoo.builder import Builder, Value, relu

POOL = None
FIRES = (16, 16, POOL, 32, 32, POOL, 48, 48, 64, 64)
"""Squeeze width of each fire module; both expand branches are four times as wide."""


def squeezenet(seed: int) -> onnx.ModelProto:
    """The published model clips its class scores at zero before averaging; here they stay signed."""
    b = Builder("squeezenet", seed)
    x = relu(b, b.conv(b.input("input", (1, 3, 224, 224)), 64, 3, stride=2, pad=0, bias=True))
    x = b.max_pool(x, 3, 2, ceil_mode=True)
    for width in FIRES:
        x = b.max_pool(x, 3, 2, ceil_mode=True) if width is POOL else _fire(b, x, width)
    return b.finish(logits=b.global_pool(b.conv(x, 1000, 1, bias=True, gain=1.0)))


def _fire(b: Builder, x: Value, width: int) -> Value:
    squeezed = relu(b, b.conv(x, width, 1, bias=True))
    expanded = [relu(b, b.conv(squeezed, 4 * width, kernel, bias=True)) for kernel in (1, 3)]
    return b.concat(*expanded)
