"""What an engine's converter makes of ONNX nodes."""

from __future__ import annotations

import numpy as np
import pytest

from hetpart.oracle.profiles import convert, load_profile
from tests.oracle.profiles.support import model_of

MACE, TFLITE, QNN = (load_profile(name).engine for name in ("mace-gpu", "tflite-gpu", "qnn-htp"))
BN = dict.fromkeys(("s", "b", "m", "v"), (4,))
BLOCK = """g (float[1,8,9,9] x) => (y) {
    c = Conv(x, w)
    n = BatchNormalization(c, s, b, m, v)
    r = Relu(n)
    a = Add(r, r)
    y = Relu(a)
}"""


def operators(text: str, engine: object = MACE, **constants: object) -> list[tuple[str, ...]]:
    """Per operator of the engine the ONNX operators that it stands for."""
    return [tuple(node.op_type for node in op.nodes) for op in convert(model_of(text, **constants), engine)]


def test_normalisation_and_activation_are_folded_where_the_engine_does() -> None:
    whole = ("Conv", "BatchNormalization", "Relu")
    assert operators(BLOCK, MACE, w=(4, 8, 3, 3), **BN) == [whole, ("Add",), ("Relu",)]
    assert operators(BLOCK, TFLITE, w=(4, 8, 3, 3), **BN) == [whole, ("Add", "Relu")]
    assert operators(BLOCK, QNN, w=(4, 8, 3, 3), **BN) == [(n,) for n in (*whole, "Add", "Relu")]


def test_what_has_other_readers_or_leaves_the_model_is_not_folded() -> None:
    two = "g (float[1,8,9,9] x) => (y) { c = Conv(x, w) r = Relu(c) y = Add(r, c) }"
    assert operators(two, w=(4, 8, 3, 3)) == [("Conv",), ("Relu",), ("Add",)]
    out = "g (float[1,8,9,9] x) => (y, c) { c = Conv(x, w) y = Relu(c) }"
    assert operators(out, w=(4, 8, 3, 3)) == [("Conv",), ("Relu",)]


def test_prelu_is_not_folded_and_a_clip_only_where_it_is_an_activation() -> None:
    prelu = "g (float[1,8,9,9] x) => (y) { c = Conv(x, w) y = PRelu(c, p) }"
    assert operators(prelu, w=(4, 8, 3, 3), p=(4, 1, 1)) == [("Conv",), ("PRelu",)]
    clip = "g (float[1,8,9,9] x) => (y) { c = Conv(x, w) y = Clip(c, l, h) }"
    low, high = np.float32(0), np.float32(6)
    for engine in (MACE, TFLITE):
        assert operators(clip, engine, w=(4, 8, 3, 3), l=low, h=high) == [("Conv", "Clip")]
        assert operators(clip, engine, w=(4, 8, 3, 3), l=np.float32(-2), h=high) == [("Conv",), ("Clip",)]


def test_nothing_is_folded_into_what_the_engine_lacks() -> None:
    grouped = "g (float[1,8,9,9] x) => (y) { c = Conv<group=2>(x, w) y = Relu(c) }"
    assert operators(grouped, w=(4, 4, 3, 3)) == [("Conv",), ("Relu",)]


@pytest.mark.parametrize(
    ("group", "weight", "expected"),
    [(1, (4, 8, 3, 3), ("Conv2D",)), (8, (8, 1, 3, 3), ("DepthwiseConv2d",)), (2, (4, 4, 3, 3), ())],
)
def test_groups_choose_the_operator(group: int, weight: tuple[int, ...], expected: tuple[str, ...]) -> None:
    text = f"g (float[1,8,9,9] x) => (y) {{ y = Conv<group={group}>(x, w) }}"
    (op,) = convert(model_of(text, w=weight), MACE)
    assert op.operators == expected
    assert bool(op.missing) == (not expected)
    if not expected:
        assert op.missing == "MACE has no operator for this Conv: it has 2 groups of 8 channels"


def test_custom_operators_have_none() -> None:
    text = "g (float[2] x) => (float[2] y) { y = com.example.Relu(x) }"
    for engine in (MACE, QNN):
        (op,) = convert(model_of(text), engine)
        assert op.operators == ()
        assert "com.example::Relu" in op.missing


def test_conversions_belong_to_the_operators_between_them() -> None:
    text = """g (float[2,8] x) => (y) {
        q = QuantizeLinear(x, sx, zx)
        d = DequantizeLinear(q, sx, zx)
        k = DequantizeLinear(w, sw)
        m = MatMul(d, k)
        r = Relu(m)
        o = QuantizeLinear(r, sx, zx)
        y = DequantizeLinear(o, sx, zx)
    }"""
    data = {"sx": np.float32(0.1), "zx": np.uint8(3), "sw": np.float32(0.1), "w": np.ones((8, 3), np.int8)}
    first, middle, last = convert(model_of(text, **data), TFLITE)
    assert (first.operators, last.operators) == (("Quantize",), ("Dequantize",))
    assert [node.op_type for node in middle.nodes] == ["MatMul", "Relu"]
    assert middle.operators == ("FullyConnected",)
    assert [value.name for value in middle.inputs()] == ["q"]
    assert [value.name for value in middle.outputs()] == ["o"]
