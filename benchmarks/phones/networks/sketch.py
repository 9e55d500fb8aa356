"""A zoo builder whose weights are zeros: for networks of which only the shapes are wanted."""

from __future__ import annotations

import numpy as np

from examples.zoo.builder import Activation, Builder, Value, conv_bn, hard_swish, identity, relu, relu6

__all__ = [
    "Activation",
    "Builder",
    "Sketch",
    "Value",
    "conv_bn",
    "hard_swish",
    "identity",
    "image",
    "inverted_residual",
    "leaky",
    "relu",
    "relu6",
    "rounded",
    "silu",
    "squeeze_excite",
]  # fmt: skip


class Sketch(Builder):
    """Weights are zero and variances one, so nothing is drawn."""

    def __init__(self, name: str) -> None:
        super().__init__(name, 0)

    def normal(self, *shape: int, std: float = 1.0, mean: float = 0.0) -> np.ndarray:
        return np.zeros(shape, np.float32)

    def uniform(self, low: float, high: float, *shape: int) -> np.ndarray:
        return np.ones(shape, np.float32)


def image(name: str, size: int = 224, width: int | None = None) -> tuple[Sketch, Value]:
    """A new network and its input, an image of `size` x `width` (default: square) with three channels."""
    b = Sketch(name)
    return b, b.input("input", (1, 3, size, width or size))


def silu(b: Builder, x: Value) -> Value:
    return b.op("Mul", x, b.op("Sigmoid", x))


def leaky(b: Builder, x: Value) -> Value:
    return b.op("LeakyRelu", x, alpha=0.1)


def rounded(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, never below 0.9 of it, as the MobileNets round widths."""
    result = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return result + divisor if result < 0.9 * channels else result


def squeeze_excite(b: Builder, x: Value, squeezed: int, *, hard: bool = False) -> Value:
    """Pool, reduce, expand, gate."""
    activation = relu if hard else silu
    gate = activation(b, b.conv(b.op("GlobalAveragePool", x), squeezed, 1, bias=True))
    gate = b.conv(gate, x.channels, 1, bias=True)
    return b.op("Mul", x, b.op("HardSigmoid" if hard else "Sigmoid", gate))


def inverted_residual(
    b: Builder,
    x: Value,
    channels: int,
    *,
    expanded: int,
    kernel: int = 3,
    stride: int = 1,
    activation: Activation = relu6,
    squeezed: int = 0,
    hard: bool = False,
) -> Value:
    """Expand by 1x1, depthwise, squeeze-and-excite if `squeezed`, project; add the input where shapes allow."""
    y = conv_bn(b, x, expanded, 1, activation=activation) if expanded != x.channels else x
    y = conv_bn(b, y, expanded, kernel, stride=stride, group=expanded, activation=activation)
    if squeezed:
        y = squeeze_excite(b, y, squeezed, hard=hard)
    y = conv_bn(b, y, channels, 1, activation=identity)
    return b.op("Add", x, y) if stride == 1 and x.channels == channels else y
