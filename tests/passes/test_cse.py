"""Repeated computations are done once; random ones and graph outputs keep their own node."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hetpart.passes.cse import CommonSubexpressionElimination
from tests.passes.support import apply, draw, operators, parse

MERGED = {
    "same-node": "(float[2,3] x) => (float y) { a = Relu(x) b = Relu(x) y = Add(a, b) }",
    "chains": "(float[2,3] x) => (float y) { a = Relu(x) b = Tanh(a) c = Relu(x) d = Tanh(c) y = Sub(b, d) }",
    "equal-constants": "(float[2,3] x) => (float y) { a = Mul(x, c) b = Mul(x, d) y = Div(a, b) }",
    "with-graph-output": "(float[2,3] x) => (float a, float y) { a = Relu(x) b = Relu(x) y = Neg(b) }",
    "attributes": "(float[2,3] x) => (float y) { a = Elu<alpha=0.5>(x) b = Elu<alpha=0.5>(x) y = Add(a, b) }",
}


@pytest.mark.parametrize("name", MERGED)
def test_merged(name: str, golden: Callable[[str], None]) -> None:
    constants = {"c": np.float32(2), "d": np.float32(2)} if name == "equal-constants" else {}
    model = parse(MERGED[name], **constants)
    before = len(operators(model))
    golden(apply(model, CommonSubexpressionElimination(), tolerance=0))
    assert len(operators(model)) < before


KEPT = {
    "graph-outputs": "(float[2,3] x) => (float y, float z) { y = Relu(x) z = Relu(x) }",
    "random": "(float[2,3] x) => (float y) { a = RandomNormalLike(x) b = RandomNormalLike(x) y = Add(a, b) }",
    "attributes": "(float[2,3] x) => (float y) { a = Elu<alpha=0.5>(x) b = Elu<alpha=0.6>(x) y = Add(a, b) }",
    "constants": "(float[2,3] x) => (float y) { a = Mul(x, c) b = Mul(x, d) y = Div(a, b) }",
    "dtypes": "(float[2,3] x) => (float y)"
    "{ a = Cast<to=10>(x) b = Cast<to=11>(x) e = Cast<to=1>(a) f = Cast<to=1>(b) y = Add(e, f) }",
}


@pytest.mark.parametrize("name", KEPT)
def test_kept(name: str) -> None:
    constants = {"c": np.float32(2), "d": np.float32(3)} if name == "constants" else {}
    assert not CommonSubexpressionElimination().apply(parse(KEPT[name], **constants))


def test_large_constants_compare_by_identity() -> None:
    text = "(float[1,64] x) => (float y) { a = MatMul(x, v) b = MatMul(x, w) y = Add(a, b) }"
    model = parse(text, v=draw(64, 64), w=draw(64, 64))
    assert not CommonSubexpressionElimination().apply(model)
    first, second = model.graph.initializers.values()
    second.const_value = first.const_value
    assert CommonSubexpressionElimination().apply(model)
    assert operators(model) == ["MatMul", "Add"]
