"""The networks whose latencies are published, as ONNX models with shapes and no weights worth the name.

``python -m benchmarks.phones.networks`` writes their layers, as `hetpart.cost.layers` counts them, to layers.csv: the
fit reads that file, and so never needs the models. Variants that differ in time have names of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import onnx

from benchmarks.phones.networks import classic, detectors, hub, inception, mobile

NETWORKS: dict[str, Callable[[], onnx.ModelProto]] = {
    **{f"mobilenet_v1-{width}-{size}": partial(mobile.mobilenet_v1, width, size)
       for width, size in ((1.0, 224), (0.75, 224), (0.5, 224), (0.25, 224), (1.0, 192), (1.0, 160), (1.0, 128))},
    "mobilenet_v2": mobile.mobilenet_v2,
    "mobilenet_v2-caffe": partial(mobile.mobilenet_v2, mobile.V2_CAFFE),
    "mobilenet_v3_large": partial(mobile.mobilenet_v3, True),
    "mobilenet_v3_small": partial(mobile.mobilenet_v3, False),
    "mobilenet_v3_large-0.75": partial(mobile.mobilenet_v3, True, 0.75),
    "mobilenet_v3_small-0.75": partial(mobile.mobilenet_v3, False, 0.75),
    "mobilenet_v3_large-minimal": partial(mobile.mobilenet_v3, True, 1.0, True),
    "mobilenet_v3_small-minimal": partial(mobile.mobilenet_v3, False, 1.0, True),
    "shufflenet_v1": mobile.shufflenet_v1,
    "shufflenet_v1-0.5": partial(mobile.shufflenet_v1, 0.5),
    "proxylessnas": mobile.proxylessnas,
    "efficientnet_b0": mobile.efficientnet_b0,
    "efficientnet_v2_b0": mobile.efficientnet_v2_b0,
    "ghostnet": mobile.ghostnet,
    "alexnet-caffe": partial(classic.alexnet, True),
    "alexnet": partial(classic.alexnet, False),
    "vgg13": partial(classic.vgg, (2, 2, 2, 2, 2)),
    "vgg16": partial(classic.vgg, (2, 2, 3, 3, 3)),
    "vgg19": partial(classic.vgg, (2, 2, 4, 4, 4)),
    "resnet18": partial(classic.resnet, (2, 2, 2, 2), bottleneck=False),
    "resnet34": partial(classic.resnet, (3, 4, 6, 3), bottleneck=False),
    "resnet50": partial(classic.resnet, (3, 4, 6, 3), bottleneck=True),
    "resnet50-caffe": partial(classic.resnet, (3, 4, 6, 3), bottleneck=True, caffe=True),
    "resnet50_v2": partial(classic.resnet, (3, 4, 6, 3), bottleneck=True, version=2),
    "resnet101": partial(classic.resnet, (3, 4, 23, 3), bottleneck=True),
    "resnet101_v2": partial(classic.resnet, (3, 4, 23, 3), bottleneck=True, version=2, size=299),
    "resnext50": partial(classic.resnet, (3, 4, 6, 3), bottleneck=True, groups=32, width=4),
    "resnext101": partial(classic.resnet, (3, 4, 23, 3), bottleneck=True, groups=32, width=8),
    "wideresnet50": partial(classic.resnet, (3, 4, 6, 3), bottleneck=True, width=128),
    "regnet_y_400mf": classic.regnet_y_400mf,
    "vision_transformer": classic.vision_transformer,
    "vit_b16": partial(classic.vision_transformer, 224),
    "fcn_hrnet_w18": classic.fcn_hrnet_w18,
    "inception_v1": inception.inception_v1,
    "inception_v3": inception.inception_v3,
    "inception_v4": inception.inception_v4,
    "inception_resnet_v2": inception.inception_resnet_v2,
    "mobilenet_ssd": detectors.mobilenet_ssd,
    "ssd_mobilenet_v3_large": detectors.ssd_mobilenet_v3_large,
    "mobilenet_yolo": detectors.mobilenet_yolo,
    "mobilenet_v2_yolov3": detectors.mobilenet_v2_yolov3,
    "yolov4_tiny": detectors.yolov4_tiny,
    "blazeface": detectors.blazeface,
    "nanodet_m": detectors.nanodet_m,
    "shufflenet_v2-0.5": partial(hub.shufflenet_v2, (48, 96, 192)),
    "regnet_x_3_2gf": hub.regnet_x_3_2gf,
    "quicksrnet_small": partial(hub.quicksrnet, 32, 2),
    "quicksrnet_medium": partial(hub.quicksrnet, 32, 5),
    "quicksrnet_large": partial(hub.quicksrnet, 64, 11),
    "sesr_m5": hub.sesr_m5,
    "xlsr": hub.xlsr,
    "posenet_mobilenet": hub.posenet_mobilenet,
    "yolov8n": hub.yolov8n,
    "yolov7_tiny": hub.yolov7_tiny,
    "yolox_s": hub.yolox_s,
    "segformer_b0": hub.segformer_b0,
    "mnasnet": mobile.mnasnet,
    "shufflenet_v2": hub.shufflenet_v2,
    "squeezenet1_1": partial(classic.squeezenet, 224),
}  # fmt: skip
