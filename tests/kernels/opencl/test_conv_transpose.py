"""Transposed convolutions against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Blocked, Halo
from hetpart.kernels.kernel import Device
from hetpart.kernels.spec import ConvTransposeSpec
from tests.numerics import relative_error

CASES: dict[str, dict[str, Any]] = {
    "2x2-stride-2": {"c": 20, "out_c": 9, "kernel": (2, 2), "strides": (2, 2)},
    "4x4-stride-2": {"c": 8, "out_c": 24, "kernel": (4, 4), "strides": (2, 2), "pads": (1, 1, 1, 1)},
    "3x3-stride-2": {"c": 5, "out_c": 16, "kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1), "extra": (1, 1)},
    "stride-1": {"c": 6, "out_c": 4, "kernel": (3, 2), "pads": (1, 0, 1, 1)},
    "gaps": {"c": 4, "out_c": 5, "kernel": (1, 2), "strides": (3, 4)},
    "dilated": {"c": 4, "out_c": 5, "kernel": (3, 3), "strides": (2, 3), "dilations": (2, 2), "pads": (1, 2, 0, 1)},
    "grouped": {"c": 12, "out_c": 18, "kernel": (3, 3), "strides": (2, 2), "group": 3, "n": 2},
    "depthwise": {"c": 18, "out_c": 18, "kernel": (4, 4), "strides": (2, 2), "pads": (1, 1, 1, 1), "group": 18},
    "narrow": {"c": 3, "out_c": 4, "kernel": (3, 3), "strides": (1, 8), "size": (2, 1)},
}


@pytest.mark.parametrize("case", CASES)
def test_against_onnxruntime(rig: Any, rng: np.random.Generator, style: tuple[Device, int], case: str) -> None:
    device, block = style
    at = {"n": 1, "size": (5, 9), "strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0), "extra": (0, 0)}
    at |= {"group": 1} | CASES[case]
    x = rng.standard_normal((at["n"], at["c"], *at["size"])).astype(np.float32)
    w = rng.standard_normal((at["c"], at["out_c"] // at["group"], *at["kernel"])).astype(np.float32)
    b = rng.standard_normal(at["out_c"]).astype(np.float32)
    attributes = {"strides": at["strides"], "dilations": at["dilations"], "pads": at["pads"], "group": at["group"]}
    wanted = np.maximum(rig.onnx("ConvTranspose", [x, w, b], output_padding=at["extra"], **attributes), 0)
    spec = ConvTransposeSpec(
        Blocked(*x.shape, block, Halo(0, 1, 1, 0)),
        Blocked(*wanted.shape, block, Halo(2, 1, 1, 0)),
        at["kernel"],
        steps=(Step("relu"),),
        **attributes,
    )
    assert relative_error(rig.run(spec, device, [x], {"w": w, "b": b}), wanted) < 2e-6


def test_without_bias_and_with_operand(rig: Any, rng: np.random.Generator, style: tuple[Device, int]) -> None:
    device, block = style
    x = rng.standard_normal((1, 6, 4, 4)).astype(np.float32)
    w = rng.standard_normal((6, 10, 2, 2)).astype(np.float32)
    skip = rng.standard_normal((1, 10, 8, 8)).astype(np.float32)
    out = Blocked(1, 10, 8, 8, block)
    spec = ConvTransposeSpec(
        Blocked(*x.shape, block), out, (2, 2), (2, 2), bias=False, steps=(Step("add", operand=0),), operands=(out,)
    )
    wanted = rig.onnx("ConvTranspose", [x, w], strides=(2, 2)) + skip
    assert relative_error(rig.run(spec, device, [x, skip], {"w": w}), wanted) < 2e-6
