"""The Inceptions: v1 as published with 5x5 filters, v3, v4 and Inception-ResNet v2 (Szegedy et al. 2015 to 2017)."""

from __future__ import annotations

import onnx

from benchmarks.phones.networks.mobile import classify
from benchmarks.phones.networks.sketch import Builder, Value, conv_bn, identity, image, relu

V1 = (
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None, (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128), None, (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
)  # fmt: skip


def _conv(
    b: Builder, x: Value, channels: int, kh: int, kw: int | None = None, *, stride: int = 1, same: bool = True
) -> Value:
    y = b.conv(x, channels, (kh, kw or kh), stride=stride, pad=None if same else 0)
    return relu(b, b.batch_norm(y))


def _average(b: Builder, x: Value) -> Value:
    return b.op("AveragePool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)


def inception_v1(five: int = 5) -> onnx.ModelProto:
    b, x = image("inception_v1")
    x = b.max_pool(conv_bn(b, x, 64, 7, stride=2), 3, 2, pad=1)
    x = b.max_pool(conv_bn(b, conv_bn(b, x, 64, 1), 192, 3), 3, 2, pad=1)
    for block in V1:
        if block is None:
            x = b.max_pool(x, 3, 2, pad=1)
            continue
        one, r3, c3, r5, c5, pool = block
        x = b.concat(
            conv_bn(b, x, one, 1), conv_bn(b, conv_bn(b, x, r3, 1), c3, 3), conv_bn(b, conv_bn(b, x, r5, 1), c5, five),
            conv_bn(b, b.max_pool(x, 3, 1, pad=1), pool, 1),
        )  # fmt: skip
    return classify(b, x)


def inception_v3() -> onnx.ModelProto:
    b, x = image("inception_v3", 299)
    x = _conv(b, x, 32, 3, stride=2, same=False)
    x = _conv(b, _conv(b, x, 32, 3, same=False), 64, 3)
    x = b.max_pool(x, 3, 2)
    x = b.max_pool(_conv(b, _conv(b, x, 80, 1), 192, 3, same=False), 3, 2)
    for pool in (32, 64, 64):
        x = b.concat(
            _conv(b, x, 64, 1), _conv(b, _conv(b, x, 48, 1), 64, 5),
            _conv(b, _conv(b, _conv(b, x, 64, 1), 96, 3), 96, 3), _conv(b, _average(b, x), pool, 1),
        )  # fmt: skip
    y = _conv(b, _conv(b, _conv(b, x, 64, 1), 96, 3), 96, 3, stride=2, same=False)
    x = b.concat(_conv(b, x, 384, 3, stride=2, same=False), y, b.max_pool(x, 3, 2))
    for c in (128, 160, 160, 192):
        y = _conv(b, _conv(b, _conv(b, x, c, 1), c, 1, 7), 192, 7, 1)
        z = _conv(b, _conv(b, _conv(b, x, c, 1), c, 7, 1), c, 1, 7)
        z = _conv(b, _conv(b, z, c, 7, 1), 192, 1, 7)
        x = b.concat(_conv(b, x, 192, 1), y, z, _conv(b, _average(b, x), 192, 1))
    y = _conv(b, _conv(b, x, 192, 1), 320, 3, stride=2, same=False)
    z = _conv(b, _conv(b, _conv(b, x, 192, 1), 192, 1, 7), 192, 7, 1)
    x = b.concat(y, _conv(b, z, 192, 3, stride=2, same=False), b.max_pool(x, 3, 2))
    for _ in range(2):
        y = _conv(b, x, 384, 1)
        z = _conv(b, _conv(b, x, 448, 1), 384, 3)
        x = b.concat(
            _conv(b, x, 320, 1), _conv(b, y, 384, 1, 3), _conv(b, y, 384, 3, 1), _conv(b, z, 384, 1, 3),
            _conv(b, z, 384, 3, 1), _conv(b, _average(b, x), 192, 1),
        )  # fmt: skip
    return classify(b, x)


def _stem_v4(b: Builder, x: Value) -> Value:
    x = _conv(b, x, 32, 3, stride=2, same=False)
    x = _conv(b, _conv(b, x, 32, 3, same=False), 64, 3)
    x = b.concat(b.max_pool(x, 3, 2), _conv(b, x, 96, 3, stride=2, same=False))
    y = _conv(b, _conv(b, x, 64, 1), 96, 3, same=False)
    z = _conv(b, _conv(b, _conv(b, x, 64, 1), 64, 1, 7), 64, 7, 1)
    x = b.concat(y, _conv(b, z, 96, 3, same=False))
    return b.concat(_conv(b, x, 192, 3, stride=2, same=False), b.max_pool(x, 3, 2))


def inception_v4() -> onnx.ModelProto:
    b, x = image("inception_v4", 299)
    x = _stem_v4(b, x)
    for _ in range(4):
        x = b.concat(
            _conv(b, x, 96, 1), _conv(b, _conv(b, x, 64, 1), 96, 3),
            _conv(b, _conv(b, _conv(b, x, 64, 1), 96, 3), 96, 3), _conv(b, _average(b, x), 96, 1),
        )  # fmt: skip
    y = _conv(b, _conv(b, _conv(b, x, 192, 1), 224, 3), 256, 3, stride=2, same=False)
    x = b.concat(_conv(b, x, 384, 3, stride=2, same=False), y, b.max_pool(x, 3, 2))
    for _ in range(7):
        y = _conv(b, _conv(b, _conv(b, x, 192, 1), 224, 1, 7), 256, 7, 1)
        z = _conv(b, _conv(b, _conv(b, x, 192, 1), 192, 7, 1), 224, 1, 7)
        z = _conv(b, _conv(b, z, 224, 7, 1), 256, 1, 7)
        x = b.concat(_conv(b, x, 384, 1), y, z, _conv(b, _average(b, x), 128, 1))
    y = _conv(b, _conv(b, x, 192, 1), 192, 3, stride=2, same=False)
    z = _conv(b, _conv(b, _conv(b, x, 256, 1), 256, 1, 7), 320, 7, 1)
    x = b.concat(y, _conv(b, z, 320, 3, stride=2, same=False), b.max_pool(x, 3, 2))
    for _ in range(3):
        y = _conv(b, x, 384, 1)
        z = _conv(b, _conv(b, _conv(b, x, 384, 1), 448, 3, 1), 512, 1, 3)
        x = b.concat(
            _conv(b, x, 256, 1), _conv(b, y, 256, 1, 3), _conv(b, y, 256, 3, 1), _conv(b, z, 256, 1, 3),
            _conv(b, z, 256, 3, 1), _conv(b, _average(b, x), 256, 1),
        )  # fmt: skip
    return classify(b, x)


def inception_resnet_v2() -> onnx.ModelProto:
    """As in TensorFlow-Slim."""

    def residual(x: Value, *branches: Value) -> Value:
        mixed = b.concat(*branches) if len(branches) > 1 else branches[0]
        return relu(b, b.op("Add", x, identity(b, b.conv(mixed, x.channels, 1, bias=True))))

    b, x = image("inception_resnet_v2", 299)
    x = _conv(b, x, 32, 3, stride=2, same=False)
    x = b.max_pool(_conv(b, _conv(b, x, 32, 3, same=False), 64, 3), 3, 2)
    x = b.max_pool(_conv(b, _conv(b, x, 80, 1), 192, 3, same=False), 3, 2)
    x = b.concat(
        _conv(b, x, 96, 1), _conv(b, _conv(b, x, 48, 1), 64, 5), _conv(b, _conv(b, _conv(b, x, 64, 1), 96, 3), 96, 3),
        _conv(b, _average(b, x), 64, 1),
    )  # fmt: skip
    for _ in range(10):
        y = _conv(b, _conv(b, _conv(b, x, 32, 1), 48, 3), 64, 3)
        x = residual(x, _conv(b, x, 32, 1), _conv(b, _conv(b, x, 32, 1), 32, 3), y)
    y = _conv(b, _conv(b, _conv(b, x, 256, 1), 256, 3), 384, 3, stride=2, same=False)
    x = b.concat(_conv(b, x, 384, 3, stride=2, same=False), y, b.max_pool(x, 3, 2))
    for _ in range(20):
        x = residual(x, _conv(b, x, 192, 1), _conv(b, _conv(b, _conv(b, x, 128, 1), 160, 1, 7), 192, 7, 1))
    y = _conv(b, _conv(b, x, 256, 1), 384, 3, stride=2, same=False)
    z = _conv(b, _conv(b, x, 256, 1), 288, 3, stride=2, same=False)
    w = _conv(b, _conv(b, _conv(b, x, 256, 1), 288, 3), 320, 3, stride=2, same=False)
    x = b.concat(y, z, w, b.max_pool(x, 3, 2))
    for _ in range(10):
        x = residual(x, _conv(b, x, 192, 1), _conv(b, _conv(b, _conv(b, x, 192, 1), 224, 1, 3), 256, 3, 1))
    return classify(b, _conv(b, x, 1536, 1))
