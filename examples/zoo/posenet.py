"""PoseNet on MobileNet V1 1.0, stride 32, input 257 x 257: the multi-person model that TensorFlow Lite publishes.

Outputs on a 9 x 9 grid: 17 keypoint heatmaps (logits; the published post-processing applies the sigmoid), 34 short
offsets, and 32 displacements along the skeleton's 16 edges in each direction (Papandreou et al. 2018).
"""

from __future__ import annotations

import onnx

from examples.zoo.builder import Builder
from examples.zoo.mobilenet import mobilenetv1_features


def posenet(seed: int) -> onnx.ModelProto:
    b = Builder("posenet", seed)
    x = mobilenetv1_features(b, b.input("input", (1, 3, 257, 257)))
    heads = {"heatmaps": 17, "offsets": 34, "displacements_forward": 32, "displacements_backward": 32}
    return b.finish(**{name: b.conv(x, channels, 1, bias=True, gain=1.0) for name, channels in heads.items()})
