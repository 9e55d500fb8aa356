"""Arithmetic rewrites are exact: the tolerance is zero."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hetpart.passes.canonicalise import Canonicalise
from tests.passes.support import apply, draw, operators, parse


def unary(expression: str) -> str:
    return f"(float[2,3,4] x) => (float y) {{ y = {expression} }}"


CASES = {
    "constant-first": (unary("Add(c, x)"), {"c": draw(3, 1)}),
    "constant-subtracted": (unary("Sub(x, c)"), {"c": draw(3, 1)}),
    "subtracted-from-constant": (unary("Sub(c, x)"), {"c": draw(3, 1)}),
    "divided-by-powers-of-two": (unary("Div(x, c)"), {"c": np.array([[2.0], [-0.25], [8.0]], np.float32)}),
    "divided-by-six": (unary("Div(x, c)"), {"c": np.float32(6)}),
    "divided-by-tiny-power": (unary("Div(x, c)"), {"c": np.float32(2.0**-149)}),
    "one-divided": (unary("Div(c, x)"), {"c": np.float32(1)}),
    "times-one": (
        "(float[2,3] x) => (float y) { a = Mul(x, c) y = Relu(a) }",
        {"c": np.float32(1)},
    ),
    "integer-division": ("(int64[4] x) => (int64 y) { y = Div(x, c) }", {"c": np.array(2)}),
    "square": (unary("Pow(x, c)"), {"c": np.float32(2)}),
    "square-integer-exponent": (unary("Pow(x, c)"), {"c": np.array(2)}),
    "integer-exponent": (unary("Pow(x, c)"), {"c": np.array(3)}),
    "cube": (unary("Pow(x, c)"), {"c": np.float32(3)}),
    "sum-of-three": ("(float[2,3] a, float[3] b, float[2,1] c) => (float y) { y = Sum(a, b, c) }", {}),
    "sum-of-one": ("(float[2,3] a) => (float y) { b = Sum(a) y = Relu(b) }", {}),
    "mean-of-three": ("(float[2,3] a, float[3] b, float[2,1] c) => (float y) { y = Mean(a, b, c) }", {}),
    "mean-of-four": ("(float[3] a, float[3] b, float[3] c, float[3] d) => (float y) { y = Mean(a, b, c, d) }", {}),
    "max-of-three": ("(float[2,3] a, float[3] b, float[2,1] c) => (float y) { y = Max(a, b, c) }", {}),
    "max-with-zero": (unary("Max(x, c)"), {"c": np.zeros(1, np.float32)}),
    "min-with-number": (unary("Min(c, x)"), {"c": np.float32(0.5)}),
    "clip-unbounded": ("(float[2,3] x) => (float y) { a = Clip(x) y = Tanh(a) }", {}),
    "clip-at-zero": (unary("Clip(x, c)"), {"c": np.float32(0)}),
    "clip-computed": ("(float[2,3] x, float lo, float hi) => (float y) { y = Clip(x, lo, hi) }", {}),
    "clip-computed-high": ("(float[2,3] x, float hi) => (float y) { y = Clip(x, , hi) }", {}),
    "relu6-of-min-and-relu": (
        "(float[2,3] x) => (float y) { a = Relu(x) y = Min(a, c) }",
        {"c": np.float32(0.75)},
    ),
    "clip-of-clip": (
        "(float[2,3] x) => (float y) { a = Clip(x, l, h) y = Clip(a, m, i) }",
        {"l": np.float32(-1), "h": np.float32(0.5), "m": np.float32(-0.5), "i": np.float32(2)},
    ),
    "relu-of-clip": (
        "(float[2,3] x) => (float y) { a = Clip(x, l, h) y = Relu(a) }",
        {"l": np.float32(-1), "h": np.float32(0.5)},
    ),
    "clip-crossed-bounds-stay": (
        "(float[2,3] x) => (float y) { a = Clip(x, l, h) y = Relu(a) }",
        {"l": np.float32(1), "h": np.float32(0.5)},
    ),
    "clip-integers": ("(int64[4] x) => (int64 y) { y = Clip(x, c) }", {"c": np.array(0)}),
}


@pytest.mark.parametrize("name", CASES)
def test_rule(name: str, golden: Callable[[str], None]) -> None:
    text, constants = CASES[name]
    tolerance = 1e-7 if name == "mean-of-three" else 0  # onnxruntime multiplies by the rounded 1 / 3
    golden(apply(parse(text, **constants), Canonicalise(), tolerance=tolerance))


def test_clip_read_twice_is_not_merged() -> None:
    model = parse(
        "(float[2,3] x) => (float y, float z) { a = Clip(x, l, h) y = Relu(a) z = Neg(a) }",
        l=np.float32(-1),
        h=np.float32(1),
    )
    Canonicalise().apply(model)
    assert operators(model) == ["Clip", "Relu", "Neg"]


def test_scalar_that_adds_a_dimension_is_no_bound() -> None:
    model = parse("(float[3] x) => (float y) { y = Max(x, c) }", c=np.zeros((1, 1), np.float32))
    Canonicalise().apply(model)
    assert operators(model) == ["Max"]


def test_second_run_changes_nothing() -> None:
    for text, constants in CASES.values():
        model = parse(text, **constants)
        Canonicalise().apply(model)
        assert not Canonicalise().apply(model), text
