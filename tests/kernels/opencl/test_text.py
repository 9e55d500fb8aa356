"""Literals, index sums and loops as text."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetpart.kernels.opencl.text import affine, literal, loop


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.0f"), (-1.0, "-1.0f"), (0.1, "0.1f"), (1e-5, "1e-05f"), (math.inf, "INFINITY"), (-math.inf, "-INFINITY"),
     (math.nan, "NAN"), (12544, "12544.0f"), (1e30, "1e+30f")],
)  # fmt: skip
def test_literal(value: float, text: str) -> None:
    assert literal(value) == text


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_literals_are_exact(value: float) -> None:
    text = literal(value)
    assert text.endswith("f")
    assert np.float32(text[:-1]) == np.float32(value)


def test_affine() -> None:
    assert affine([("a", 3), ("b", 1), ("c", 0)], 5) == "a * 3 + b + 5"
    assert affine([("a", 1)], -2) == "a - 2"
    assert affine([("2", 7), ("0", 9)]) == "14"
    assert affine([]) == "0"


def test_loop_of_one_turn_is_its_body() -> None:
    assert loop("i", 1, lambda i: [f"f({i});"]) == ["f(0);"]
    assert loop("i", 3, lambda i: [f"f({i});"]) == ["for (int i = 0; i < 3; i++) {", "    f(i);", "}"]
