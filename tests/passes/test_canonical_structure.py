"""No-ops vanish, views become Reshape, parameters are unshared; outputs stay the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hetpart.errors import HetpartError
from hetpart.passes.canonicalise import Canonicalise
from tests.passes.support import apply, draw, evaluate, operators, parse

CASES = {
    "identity": ("(float[2,3] x) => (float y) { a = Relu(x) b = Identity(a) y = Tanh(b) }", {}),
    "identity-at-output": ("(float[2,3] x) => (float y) { a = Relu(x) y = Identity(a) }", {}),
    "input-is-output": ("(float[2,3] x) => (float y, float z) { y = Identity(x) z = Relu(x) }", {}),
    "output-twice": ("(float[2,3] x) => (float y, float z) { y = Relu(x) z = Identity(y) }", {}),
    "cast-to-same": ("(float[2,3] x) => (float y) { a = Cast<to=1>(x) y = Relu(a) }", {}),
    "transpose-identity": ("(float[2,3] x) => (float y) { a = Transpose<perm=[0,1]>(x) y = Relu(a) }", {}),
    "pad-by-nothing": ("(float[2,3] x) => (float y) { a = Pad(x, p) y = Relu(a) }", {"p": np.zeros(4, np.int64)}),
    "concat-of-one": ("(float[2,3] x) => (float y) { a = Concat<axis=0>(x) y = Relu(a) }", {}),
    "expand-to-same": ("(float[2,3] x) => (float y) { a = Expand(x, s) y = Relu(a) }", {"s": np.array([2, 1])}),
    "constant-node": ("(float[2,3] x) => (float y) { c = Constant<value_floats=[1.0,2.0,3.0]>() y = Mul(x, c) }", {}),
    "dropout": ("(float[2,3] x) => (float y) { a = Dropout(x) y = Relu(a) }", {}),
    "dropout-mask": ("(float[2,3] x) => (float y) { a, m = Dropout(x) f = Cast<to=1>(m) y = Add(a, f) }", {}),
    "flatten": ("(float[2,3,4] x) => (float y) { y = Flatten<axis=2>(x) }", {}),
    "squeeze": ("(float[1,3,1] x) => (float y) { y = Squeeze(x) }", {}),
    "unsqueeze": ("(float[3] x) => (float y) { y = Unsqueeze(x, a) }", {"a": np.array([0, 2])}),
    "reshape-minus-one": ("(float[2,3,4] x) => (float y) { y = Reshape(x, s) }", {"s": np.array([0, -1])}),
    "reshape-to-scalar": (
        "(float[1,1] x) => (float y) { a = Reshape(x, s) y = Relu(a) }",
        {"s": np.array([], np.int64)},
    ),
    "reshape-without-elements": (
        "(float[0,3] x) => (float y) { y = Reshape<allowzero=1>(x, s) }",
        {"s": np.array([3, 0])},
    ),
    "shared-weight": (
        "(float[1,4] x, float[1,4] z) => (float y) { a = MatMul(x, w) b = MatMul(z, w) y = Add(a, b) }",
        {"w": draw(4, 4)},
    ),
    "shared-bias": (
        "(float[1,2,4,4] x) => (float y) { a = Conv(x, v, c) y = Conv(a, w, c) }",
        {"v": draw(2, 2, 1, 1), "w": draw(2, 2, 1, 1, seed=1), "c": draw(2)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rule(name: str, golden: Callable[[str], None]) -> None:
    text, constants = CASES[name]
    golden(apply(parse(text, **constants), Canonicalise(), tolerance=0))


def test_constant_output_becomes_an_initialiser() -> None:
    model = parse("(float[2] x) => (float y, float c) { c = Constant<value_floats=[1.0,2.0]>() y = Add(x, c) }")
    assert Canonicalise().apply(model)
    assert operators(model) == ["Add"]
    np.testing.assert_array_equal(evaluate(model, {"x": np.ones(2, np.float32)})[1], [1, 2])


def test_unshared_weights_share_memory() -> None:
    model = parse(
        "(float[1,4] x, float[1,4] z) => (float y) { a = MatMul(x, w) b = MatMul(z, w) y = Add(a, b) }", w=draw(4, 4)
    )
    Canonicalise().apply(model)
    first, second = (value.const_value for value in model.graph.initializers.values())
    assert first is second


def test_dropout_in_training_mode_is_refused() -> None:
    model = parse("(float[2,3] x) => (float y) { y = Dropout(x, r, t) }", r=np.float32(0.5), t=np.bool_(True))
    with pytest.raises(HetpartError, match="Dropout in training mode") as caught:
        Canonicalise().apply(model)
    assert caught.value.code == "training-mode"
    assert caught.value.node == "Dropout_0"


def test_second_run_changes_nothing() -> None:
    for text, constants in CASES.values():
        model = parse(text, **constants)
        Canonicalise().apply(model)
        assert not Canonicalise().apply(model), text
