"""Scales and offsets disappear into the layer in front of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hetpart.passes.canonicalise import Canonicalise
from hetpart.passes.fold_bn import FoldBatchNormalization
from tests.passes.support import apply, draw, operators, parse, positive

BN = {"s": draw(4), "t": draw(4, seed=1), "m": draw(4, seed=2), "v": positive(4)}
CHANNELS = {"s": draw(4, 1, 1), "t": draw(1, 4, 1, 1)}


def layer(body: str, shape: str = "1,6,5,5") -> str:
    return f"(float[{shape}] x) => (float y) {{ {body} }}"


FOLDED = {
    "conv": (layer("c = Conv(x, w) y = BatchNormalization(c, s, t, m, v)"), {"w": draw(4, 6, 3, 3), **BN}),
    "conv-with-bias": (
        layer("c = Conv(x, w, b) y = BatchNormalization(c, s, t, m, v)"),
        {"w": draw(4, 6, 3, 3), "b": draw(4, seed=3), **BN},
    ),
    "grouped-conv": (
        layer("c = Conv<group=2>(x, w) y = BatchNormalization(c, s, t, m, v)"),
        {"w": draw(4, 3, 1, 1), **BN},
    ),
    "conv-transpose": (
        layer("c = ConvTranspose<group=2>(x, w, b) y = BatchNormalization(c, s, t, m, v)"),
        {"w": draw(6, 2, 2, 2), "b": draw(4, seed=3), **BN},
    ),
    "gemm": (
        layer("c = Gemm<transB=1>(x, w) y = BatchNormalization(c, s, t, m, v)", "2,6"),
        {"w": draw(4, 6), **BN},
    ),
    "matmul-scale": (layer("c = MatMul(x, w) y = Mul(c, s)", "2,3,6"), {"w": draw(6, 4), "s": draw(4)}),
    "division": (
        layer("c = Conv(x, w, t) y = Div(c, s)"),
        {"w": draw(4, 6, 1, 1), "t": draw(4), "s": positive(4, 1, 1)},
    ),
    "scalar": (layer("c = Conv(x, w) y = Mul(s, c)"), {"w": draw(4, 6, 1, 1), "s": np.float32(0.3)}),
    "twice": (
        layer("c = Conv(x, w) d = Mul(c, s) e = Add(d, t) f = Mul(e, s) y = Sub(f, t)"),
        {"w": draw(4, 6, 1, 1), **CHANNELS},
    ),
    "conv-1d": (layer("c = Conv(x, w) y = BatchNormalization(c, s, t, m, v)", "2,6,9"), {"w": draw(4, 6, 3), **BN}),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDED)
def test_folded(name: str, golden: Callable[[str], None]) -> None:
    text, constants = FOLDED[name]
    model = parse(text, **constants)
    golden(apply(model, Canonicalise(), FoldBatchNormalization(), tolerance=2e-6))
    assert len(operators(model)) == 1


KEPT = {
    "read-elsewhere": (
        "(float[1,6,5,5] x) => (float y, float z) { c = Conv(x, w) y = Mul(c, s) z = Relu(c) }",
        {"w": draw(4, 6, 1, 1), **CHANNELS},
    ),
    "layer-is-output": (
        "(float[1,6,5,5] x) => (float y, float c) { c = Conv(x, w) y = Mul(c, s) }",
        {"w": draw(4, 6, 1, 1), **CHANNELS},
    ),
    "per-column": (layer("c = Conv(x, w) y = Mul(c, s)"), {"w": draw(4, 6, 1, 1), "s": draw(5)}),
    "more-channels": (layer("c = Conv(x, w) y = Mul(c, s)"), {"w": draw(1, 6, 1, 1), "s": draw(4, 1, 1)}),
    "matmul-offset": (layer("c = MatMul(x, w) y = Add(c, t)", "2,3,6"), {"w": draw(6, 4), "t": draw(4)}),
    "pre-activation": (layer("a = Mul(x, s) y = Conv(a, w)"), {"w": draw(4, 6, 1, 1), "s": draw(6, 1, 1)}),
    "computed-weight": (
        "(float[1,6,5,5] x, float[4,6,1,1] w) => (float y) { c = Conv(x, w) y = Mul(c, s) }",
        CHANNELS,
    ),
    "by-zero": (layer("c = Conv(x, w) y = Div(c, s)"), {"w": draw(4, 6, 1, 1), "s": np.zeros((4, 1, 1), np.float32)}),
}


@pytest.mark.parametrize("name", KEPT)
def test_kept(name: str) -> None:
    text, constants = KEPT[name]
    model = parse(text, **constants)
    Canonicalise().apply(model)
    assert not FoldBatchNormalization().apply(model)


def test_float16_weight_that_would_overflow_is_kept() -> None:
    w = np.full((1, 1, 1, 1), 60000, np.float16)
    text = "(float16[1,1,2,2] x) => (float16 y) { c = Conv(x, w) y = Mul(c, s) }"
    model = parse(text, w=w, s=np.full((1, 1, 1), 2, np.float16))
    assert not FoldBatchNormalization().apply(model)


def test_works_on_a_model_that_is_not_canonical() -> None:
    text, constants = FOLDED["conv"]
    model = parse(text, **constants)
    apply(model, FoldBatchNormalization(), tolerance=2e-6)
    assert operators(model) == ["Conv"]


def test_shared_weight_keeps_its_data_for_the_other_reader() -> None:
    text = "(float[1,6,5,5] x) => (float y, float z) { c = Conv(x, w) y = Mul(c, s) z = Conv(x, w) }"
    model = parse(text, w=draw(4, 6, 1, 1), s=draw(4, 1, 1))
    apply(model, FoldBatchNormalization(), tolerance=2e-6)
    assert operators(model) == ["Conv", "Conv"]
