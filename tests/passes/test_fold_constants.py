"""What depends on constants only is computed now, unless that would bloat the model or change its meaning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hetpart.errors import HetpartError
from hetpart.passes.fold_constants import FoldConstants
from tests.passes.support import apply, draw, operators, parse

CASES = {
    "transposed-weight": (
        "(float[2,4] x) => (float y) { t = Transpose<perm=[1,0]>(w) y = MatMul(x, t) }",
        {"w": draw(3, 4)},
    ),
    "chain": (
        "(float[2,3] x) => (float y) { c = Constant<value_float=2.0>() s = Sqrt(w) d = Div(s, c) y = Add(x, d) }",
        {"w": np.array([4, 9, 16], np.float32)},
    ),
    "several-outputs": (
        "(float[2,2] x) => (float y) { a, b = Split<axis=0, num_outputs=2>(w) y = Add(x, b) }",
        {"w": draw(2, 2)},
    ),
    "constant-of-shape": (
        "(float[2,3] x) => (float y) { z = ConstantOfShape(s) y = Add(x, z) }",
        {"s": np.array([2, 3])},
    ),
    "integers": ("(float[2,6] x) => (float y) { s = Add(a, a) y = Reshape(x, s) }", {"a": np.array([3, 1])}),
}


@pytest.mark.parametrize("name", CASES)
def test_folded(name: str, golden: Callable[[str], None]) -> None:
    text, constants = CASES[name]
    model = parse(text, **constants)
    golden(apply(model, FoldConstants(), tolerance=0))
    assert len(operators(model)) == 1


KEPT = {
    "random": ("(float[2] x) => (float y) { r = RandomNormal<shape=[2]>() y = Add(x, r) }", {}),
    "random-like": ("(float[2] x) => (float y) { r = RandomNormalLike(c) y = Add(x, r) }", {"c": draw(2)}),
    "quantised-weight": (
        "(float[2] x) => (float y) { d = DequantizeLinear(q, s) y = Add(x, d) }",
        {"q": np.array([1, 2], np.int8), "s": np.float32(0.5)},
    ),
    "foreign": ("(float[2] x) => (float y) { d = custom.Make(c) y = Add(x, d) }", {"c": draw(2)}),
}


@pytest.mark.parametrize("name", KEPT)
def test_kept(name: str) -> None:
    text, constants = KEPT[name]
    if name == "foreign":
        text = text.replace("y = Add(x, d)", "y = custom.Use(x, d)")
    assert not FoldConstants().apply(parse(text, **constants))


def test_what_types_imply_is_folded() -> None:
    text = """(float[2,3] x, float[0,2] nothing) => (float y, int64 s, float z, float e) {
        y = Relu(x) s = Shape<start = 1>(y) z = ReduceSum(nothing, axis) e = Concat<axis = 0>(nothing, nothing)
    }"""
    model = parse(text, axis=np.array([0]))
    apply(model, FoldConstants(), tolerance=0)
    assert operators(model) == ["Relu"]


def test_large_result_is_kept_at_the_limit() -> None:
    text = "(float[100,100] x) => (float y) { e = Expand(c, s) y = Add(x, e) }"
    constants = {"c": draw(1), "s": np.array([100, 100])}
    assert not FoldConstants(limit_bytes=39_999).apply(parse(text, **constants))
    model = parse(text, **constants)
    assert FoldConstants(limit_bytes=40_000).apply(model)
    assert operators(model) == ["Add"]


def test_sparse_constant_is_refused() -> None:
    model = parse("(float[2] x) => (float y) { c = Constant<value_float=1.0>() y = Add(x, c) }")
    constant = model.graph.node(0)
    constant.attributes["sparse_value"] = constant.attributes.pop("value_float")
    with pytest.raises(HetpartError) as caught:
        FoldConstants().apply(model)
    assert caught.value.code == "sparse-constant"
