"""Normalisation, pooling, padding and matrix products in canonical form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hetpart.errors import HetpartError
from hetpart.passes.canonicalise import Canonicalise
from tests.passes.support import apply, draw, operators, parse, positive

BN = {"s": draw(3), "b": draw(3, seed=1), "m": draw(3, seed=2), "v": positive(3)}
MATRICES = {"w": draw(4, 5), "c": draw(5)}


def image(expression: str) -> str:
    return f"(float[1,3,7,6] x) => (float y) {{ y = {expression} }}"


def gemm(attributes: str, inputs: str = "x, w, c") -> str:
    return f"(float[2,4] x) => (float y) {{ y = Gemm<{attributes}>({inputs}) }}"


CASES = {
    "batch-norm": (image("BatchNormalization<epsilon=0.01>(x, s, b, m, v)"), BN),
    "batch-norm-of-matrix": ("(float[2,3] x) => (float y) { y = BatchNormalization(x, s, b, m, v) }", BN),
    "same-upper-conv": (image('Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w)'), {"w": draw(2, 3, 3, 3)}),
    "same-lower-conv": (
        image('Conv<auto_pad="SAME_LOWER", strides=[1,2]>(x, w)'),
        {"w": draw(2, 3, 2, 4)},
    ),
    "valid-conv": (image('Conv<auto_pad="VALID">(x, w)'), {"w": draw(2, 3, 3, 3)}),
    "same-upper-max-pool": (image('MaxPool<auto_pad="SAME_UPPER", kernel_shape=[2,2], strides=[2,1]>(x)'), {}),
    "same-lower-average-pool": (
        image('AveragePool<auto_pad="SAME_LOWER", kernel_shape=[3,2], strides=[2,2]>(x)'),
        {},
    ),
    "conv-transpose-output-shape": (
        image("ConvTranspose<strides=[2,2], output_shape=[14,13]>(x, w)"),
        {"w": draw(3, 2, 3, 4)},
    ),
    "conv-transpose-same-upper": (
        image('ConvTranspose<strides=[2,2], auto_pad="SAME_UPPER">(x, w)'),
        {"w": draw(3, 2, 3, 3)},
    ),
    "conv-transpose-same-lower": (
        image('ConvTranspose<strides=[2,2], auto_pad="SAME_LOWER">(x, w)'),
        {"w": draw(3, 2, 3, 3)},
    ),
    "average-pool-over-image": (image("AveragePool<kernel_shape=[7,6]>(x)"), {}),
    "max-pool-over-image": (image("MaxPool<kernel_shape=[7,6], strides=[2,2]>(x)"), {}),
    "padded-pool-over-image": (image("AveragePool<kernel_shape=[7,6], pads=[0,1,0,0]>(x)"), {}),
    "reduce-mean": (image("ReduceMean(x, a)"), {"a": np.array([-1, 2])}),
    "reduce-mean-squeezed": (image("ReduceMean<keepdims=0>(x, a)"), {"a": np.array([2, 3])}),
    "reduce-max": (image("ReduceMax(x, a)"), {"a": np.array([2, 3])}),
    "reduce-mean-of-rows": (image("ReduceMean(x, a)"), {"a": np.array([3])}),
    "pad-some-axes": (image("Pad(x, p, , a)"), {"p": np.array([1, 2, 0, 1]), "a": np.array([-1, 2])}),
    "pad-some-axes-with-value": (
        image("Pad(x, p, v, a)"),
        {"p": np.array([1, 2]), "v": np.float32(3), "a": np.array([3])},
    ),
    "gemm-canonical": (gemm("transA=0"), MATRICES),
    "gemm-transposed-weight": (gemm("transB=1"), {"w": draw(5, 4), "c": draw(5)}),
    "gemm-factors": (gemm("alpha=0.5, beta=2.0"), MATRICES),
    "gemm-scalar-bias": (gemm("transA=0"), {"w": draw(4, 5), "c": np.float32(0.5)}),
    "gemm-row-bias": (gemm("transA=0"), {"w": draw(4, 5), "c": draw(1, 5)}),
    "gemm-column-bias": (gemm("beta=2.0"), {"w": draw(4, 5), "c": draw(2, 1)}),
    "gemm-without-bias": (gemm("alpha=2.0", "x, w"), {"w": draw(4, 5)}),
    "gemm-beta-zero": (gemm("beta=0.0"), MATRICES),
    "gemm-transposed-data": ("(float[4,2] x) => (float y) { y = Gemm<transA=1>(x, w, c) }", MATRICES),
    "gemm-of-activations": (
        "(float[2,4] x, float[5,4] z, float[2,5] c) => (float y) { y = Gemm<alpha=0.5, beta=0.25, transB=1>(x, z, c) }",
        {},
    ),
    "gemm-of-activations-scaled": ("(float[2,4] x, float[4,5] z) => (float y) { y = Gemm<alpha=0.5>(x, z) }", {}),
}


@pytest.mark.parametrize("name", CASES)
def test_rule(name: str, golden: Callable[[str], None]) -> None:
    text, constants = CASES[name]
    golden(apply(parse(text, **constants), Canonicalise()))


def test_second_run_changes_nothing() -> None:
    for text, constants in CASES.values():
        model = parse(text, **constants)
        Canonicalise().apply(model)
        assert not Canonicalise().apply(model), text


def test_max_pool_with_indices_stays() -> None:
    model = parse("(float[1,3,4,4] x) => (float y, int64 i) { y, i = MaxPool<kernel_shape=[4,4]>(x) }")
    Canonicalise().apply(model)
    assert operators(model) == ["MaxPool"]


def test_conv_transpose_that_pads_cannot_reach_stays() -> None:
    model = parse(image("ConvTranspose<strides=[2,2], output_shape=[20,20]>(x, w)"), w=draw(3, 2, 2, 2))
    assert not Canonicalise().apply(model)
    assert "output_shape" in model.graph.node(0).attributes


def test_batch_norm_in_training_mode_is_refused() -> None:
    text = "(float[1,3,7,6] x) => (float y) { y, p, q = BatchNormalization<training_mode=1>(x, s, b, m, v) }"
    with pytest.raises(HetpartError) as caught:
        Canonicalise().apply(parse(text, **BN))
    assert caught.value.code == "training-mode"
    assert caught.value.node == "BatchNormalization_0"


def test_batch_norm_with_computed_parameters_is_refused() -> None:
    model = parse(
        "(float[1,3,7,6] x, float[3] s) => (float y) { y = BatchNormalization(x, s, b, m, v) }",
        b=BN["b"],
        m=BN["m"],
        v=BN["v"],
    )
    with pytest.raises(HetpartError) as caught:
        Canonicalise().apply(model)
    assert caught.value.code == "computed-batch-norm"
