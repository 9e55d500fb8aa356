"""How wide a border of zeros each consumer wants around a feature map."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from hetpart.graph.layout import Halo


@dataclass(frozen=True)
class Window:
    """Geometry of a sliding-window operator: (height, width) pairs and pads as top, left, bottom, right."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]

    def reach(self, image: tuple[int, int], output: tuple[int, int]) -> Halo:
        """How far the windows of all `output` positions reach beyond the `image`."""
        below, right = (
            max(0, (output[i] - 1) * self.strides[i] + (self.kernel[i] - 1) * self.dilations[i] + 1
                - self.pads[i] - image[i])
            for i in range(2)
        )  # fmt: skip
        return Halo(self.pads[0], self.pads[1], below, right)


def window(node: ir.Node, kernel: tuple[int, int], image: tuple[int, int], output: tuple[int, int]) -> Window:
    """The geometry of a 2-D Conv or pooling node, with `auto_pad` resolved.

    Args:
        node: Conv, MaxPool or AveragePool.
        kernel: spatial kernel size (Conv: of its weights).
        image: input height and width.
        output: output height and width (they decide SAME padding).
    """
    strides = _pair(node, "strides", (1, 1))
    dilations = _pair(node, "dilations", (1, 1))
    mode = node.attributes.get_string("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        pads = [0, 0, 0, 0]
        for i in range(2):
            total = max(0, (output[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - image[i])
            small = total // 2
            pads[i], pads[i + 2] = (small, total - small) if mode == "SAME_UPPER" else (total - small, small)
    else:
        pads = [int(p) for p in node.attributes.get_ints("pads", (0, 0, 0, 0))]
        if mode == "VALID":
            pads = [0, 0, 0, 0]
    return Window(kernel, strides, dilations, (pads[0], pads[1], pads[2], pads[3]))


def _pair(node: ir.Node, name: str, default: tuple[int, int]) -> tuple[int, int]:
    values = node.attributes.get_ints(name, default)
    return int(values[0]), int(values[1])
