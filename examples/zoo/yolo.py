"""YOLOv2 for the 20 classes of Pascal VOC (Redmon & Farhadi 2017; darknet's yolov2-voc.cfg), input 416 x 416."""

from __future__ import annotations

import onnx

from examples.zoo.builder import Builder, Value, conv_bn, leaky_relu

ANCHORS = 5
CLASSES = 20


def yolov2(seed: int) -> onnx.ModelProto:
    """Output ``detections``: (1, anchors * (5 + classes), 13, 13), raw, as the region layer of darknet takes them."""
    b = Builder("yolov2", seed)

    def convs(x: Value, *layers: tuple[int, int]) -> Value:
        for channels, kernel in layers:
            x = conv_bn(b, x, channels, kernel, activation=leaky_relu)
        return x

    x = b.input("input", (1, 3, 416, 416))
    x = b.max_pool(convs(x, (32, 3)), 2, 2)
    x = b.max_pool(convs(x, (64, 3)), 2, 2)
    x = b.max_pool(convs(x, (128, 3), (64, 1), (128, 3)), 2, 2)
    x = b.max_pool(convs(x, (256, 3), (128, 1), (256, 3)), 2, 2)
    fine = convs(x, (512, 3), (256, 1), (512, 3), (256, 1), (512, 3))
    x = b.max_pool(fine, 2, 2)
    x = convs(x, (1024, 3), (512, 1), (1024, 3), (512, 1), (1024, 3), (1024, 3), (1024, 3))
    passthrough = _reorg(b, convs(fine, (64, 1)))
    x = convs(b.concat(passthrough, x), (1024, 3))
    return b.finish(detections=b.conv(x, ANCHORS * (5 + CLASSES), 1, bias=True, gain=1.0))


def _reorg(b: Builder, x: Value) -> Value:
    """Space to depth by 2, spelled as the torch ports of darknet export it."""
    n, c, h, w = x.shape
    x = b.reshape(x, n, c, h // 2, 2, w // 2, 2)
    return b.reshape(b.transpose(x, 0, 3, 5, 1, 2, 4), n, 4 * c, h // 2, w // 2)
