"""Verdicts of profiles: the first obstacle, with a reason and a hint."""

from __future__ import annotations

import numpy as np
import pytest

from hetpart.oracle.profiles import convert, judge_operator, load_profile
from hetpart.targets import load_target
from tests.oracle.profiles.support import model_of, verdict

CONV = "g (float[1,8,9,9] x) => (y) { y = Conv(x, w) }"
W = {"w": (4, 8, 3, 3)}
ADD = "g (float[1,8,9,9] x) => (y) { y = Add(x, x) }"
QDQ = """g (uint8[1,8,9,9] q) => (uint8[1,4,7,7] y) {
    x = DequantizeLinear(q, s, z)
    k = DequantizeLinear(w, s)
    c = Conv%s(x, k)
    y = QuantizeLinear(c, s, z)
}"""


@pytest.mark.parametrize(
    ("profile", "text", "constants", "reason", "message"),
    [
        ("mace-gpu", CONV, W, "ok", "it is Conv2D there"),
        ("mace-gpu-buffer", CONV, W, "ok", "Conv2D"),
        ("tflite-gpu", CONV, W, "ok", "Conv2d"),
        ("nnapi-1", CONV, W, "ok", "Conv2d"),
        ("mace-gpu", ADD, {}, "ok", "Eltwise"),
        ("mace-gpu-buffer", ADD, {}, "no-kernel", "no kernel for Eltwise in: MACE on the GPU, buffer memory"),
        ("codl-gpu-buffer", ADD, {}, "ok", "Eltwise"),
        ("mace-gpu", "g (float[2,8] x) => (y) { y = HardSwish(x) }", {}, "no-operator", "MACE has no operator"),
        ("mace-gpu", "g (float[2,8] x) => (y) { y = Relu(x) }", {}, "output-rank", "Activation: the output has 2"),
        ("mace-gpu", "g (int32[1,8,9,9] x) => (y) { y = Add(x, x) }", {}, "dtype", "x is int32, not float16 or"),
        ("tflite-gpu", "g (float[1,2,2,3,3] x) => (y) { y = Relu(x) }", {}, "rank", "x has 5 dimensions, more than 4"),
        ("nnapi-1", "g (float[2,8] x) => (y) { y = Exp(x) }", {}, "level", "from feature level 3 on"),
        ("nnapi-3", "g (float[2,8] x) => (y) { y = Exp(x) }", {}, "ok", "Exp"),
        ("mace-dsp", CONV, W, "needs-int8", "x is not quantised"),
        ("mace-dsp", "g (float[2,8,9,9] x) => (y) { y = Conv(x, w) }", W, "batch", "a batch of 2"),
        ("tflite-hexagon", "g (float[2,8] x) => (y) { y = Exp(x) }", {}, "no-kernel", "Exp"),
    ],
)
def test_verdict(profile: str, text: str, constants: dict[str, np.ndarray], reason: str, message: str) -> None:
    found = verdict(profile, text, **constants)
    assert (found.level, found.reason) == ("supported" if reason == "ok" else "unsupported", reason)
    assert message in found.message
    assert bool(found.hint) == (reason != "ok")


def test_several_operators_for_one_are_all_needed() -> None:
    text = "g (float[1,8,9,9] x) => (y) { y = InstanceNormalization(x, s, b) }"
    constants = {"s": (8,), "b": (8,)}
    assert verdict("tflite-gpu", text, **constants).message == (
        "it is Mean and SquaredDifference and Add and Rsqrt and Mul and Sub there"
    )
    assert verdict("nnapi-1", text, **constants).reason == "level"
    assert "no kernel for SquaredDifference" in verdict("tflite-hexagon", text, **constants).message


@pytest.mark.parametrize(
    ("profile", "target", "message"),
    [
        ("qnn-htp", "sd855", "onnxruntime's QNN provider on HTP serves Hexagon from v68 on; sd855 has v66"),
        ("tflite-hexagon", "sd888", "TensorFlow Lite's Hexagon delegate serves Hexagon up to v66; sd888 has v68"),
        ("mace-dsp", "kirin990", "kirin990 has no hexagon processor"),
    ],
)
def test_the_target_must_have_the_processor(profile: str, target: str, message: str) -> None:
    found = verdict(profile, CONV, target=target, **W)
    assert (found.reason, found.message) == ("no-such-processor", message)
    assert found.hint


def quantised(attributes: str, profile: str, target: str = "sd855") -> list[str]:
    """Reasons for the operators of a quantised convolution."""
    constants = {"s": np.float32(0.1), "z": np.uint8(3), "w": np.ones((4, 8, 3, 3), np.int8)}
    chosen = load_profile(profile)
    ops = convert(model_of(QDQ % attributes, **constants), chosen.engine)
    return [judge_operator(op, chosen, load_target(target)).reason for op in ops]


def test_quantised_operators_suit_a_dsp() -> None:
    assert quantised("", "tflite-hexagon") == quantised("", "mace-dsp") == ["ok"]
    assert quantised("", "qnn-htp", "sd888") == quantised("", "tflite-gpu") == ["ok"]
    assert quantised("", "mace-gpu") == ["dtype"]
    dilated = "<dilations=[2,2], pads=[1,1,1,1]>"
    assert quantised(dilated, "tflite-hexagon") == ["dilation"]
