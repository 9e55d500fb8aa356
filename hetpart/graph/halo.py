"""How wide a border of zeros each consumer wants around a feature map."""

from __future__ import annotations

from collections.abc import Sequence
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

    def reach(self, image: Sequence[int], output: Sequence[int]) -> Halo:
        """How far the windows of all `output` positions, (height, width), reach beyond the `image`."""
        below, right = (
            max(0, (output[i] - 1) * self.strides[i] + (self.kernel[i] - 1) * self.dilations[i] + 1
                - self.pads[i] - image[i])
            for i in range(2)
        )  # fmt: skip
        return Halo(self.pads[0], self.pads[1], below, right)


def window(node: ir.Node, kernel: tuple[int, int]) -> Window:
    """The geometry of a 2-D Conv, ConvTranspose or pooling node whose pads are explicit (canonical form).

    Args:
        node: its strides, dilations and pads are read.
        kernel: spatial kernel size (convolutions: of their weights).
    """
    top, left, bottom, right = (int(pad) for pad in node.attributes.get_ints("pads", (0, 0, 0, 0)))
    return Window(kernel, _pair(node, "strides"), _pair(node, "dilations"), (top, left, bottom, right))


def _pair(node: ir.Node, name: str) -> tuple[int, int]:
    vertical, horizontal = node.attributes.get_ints(name, (1, 1))
    return int(vertical), int(horizontal)
