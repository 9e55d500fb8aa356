"""Every decomposition keeps the result, and leaves nothing of the operator that it writes out."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from hetpart.errors import HetpartError
from hetpart.passes.decompose import RULES, Decompose
from hetpart.passes.decompose_half import WIDENED
from hetpart.passes.pipeline import run_pipeline
from tests.numerics import relative_error
from tests.passes.support import draw, evaluate, inputs, operators, parse, positive

_LSTM = {"w": draw(1, 20, 3), "r": draw(1, 20, 5, seed=1), "b": draw(1, 40), "p": draw(1, 15)}
_INTS = {"z": np.uint8(3), "v": np.uint8(2)}

CASES: dict[str, tuple[str, dict[str, np.ndarray]]] = {
    "BatchNormalization": (
        "(float[2,3,4] x, float[3] s, float[3] b, float[3] m) => (float y) { v = Mul(m, m) "
        "y = BatchNormalization(x, s, b, m, v) }",
        {},
    ),
    "Col2Im": (
        "(float[1,10,15] x) => (float y) { y = Col2Im<strides=[1,2], pads=[0,1,1,0], dilations=[2,1]>(x, i, k) }",
        {"i": np.array([4, 9]), "k": np.array([1, 5])},
    ),
    "ConvInteger": (
        "(uint8[1,2,4,4] x, uint8[3,2,3,3] w) => (int32 y) { y = ConvInteger<pads=[1,1,0,0]>(x, w, z) }",
        _INTS,
    ),
    "DFT": ("(float[2,7,2] x) => (float y) { y = DFT(x, , a) }", {"a": np.array(1)}),
    "DFT-rfft": (
        "(float[2,8,1] x) => (float y) { y = DFT<onesided=1>(x, n, a) }",
        {"n": np.array(6), "a": np.array(1)},
    ),
    "DeformConv": (
        "(float[2,4,6,5] x, float[6,2,2,3] w, float[2,24,3,6] d, float[6] b, float[2,12,3,6] m) => (float y) "
        "{ y = DeformConv<group=2, offset_group=2, strides=[2,1], pads=[1,2,0,1], dilations=[2,1]>(x, w, d, b, m) }",
        {},
    ),
    "RoiAlign": (
        '(float[2,3,9,7] x, float[4,4] r) => (float y) { y = RoiAlign<output_height=3, output_width=2, '
        "sampling_ratio=2, spatial_scale=0.5>(x, r, i) }",
        {"i": np.array([1, 0, 1, 1])},
    ),
    "RoiAlign-max": (
        '(float[2,3,9,7] x, float[4,4] d) => (float y) { r = Add(d, c) y = RoiAlign<mode="max", output_height=2, '
        'output_width=4, sampling_ratio=3, coordinate_transformation_mode="output_half_pixel">(x, r, i) }',
        {"i": np.array([1, 0, 1, 1]), "c": np.array([0, 0, 6, 9], np.float32)},
    ),
    "Split": (
        "(float[2,5] x) => (float a, float b) { a, e, b = Split<axis=1>(x, n) }",
        {"n": np.array([2, 0, 3])},
    ),
    "Det": ("(float[2,3,3] x) => (float y) { y = Det(x) }", {}),
    "EyeLike": ("(float[3,5] x) => (float y) { y = EyeLike<k=1>(x) }", {}),
    "GRU": (
        "(float[4,2,3] x, float[1,2,5] h) => (float y, float e) { y, e = GRU<hidden_size=5>(x, w, r, b, , h) }",
        {"w": draw(1, 15, 3), "r": draw(1, 15, 5), "b": draw(1, 30)},
    ),
    "GRU-linear": (
        '(float[4,2,3] x) => (float y) { y = GRU<hidden_size=5, linear_before_reset=1, direction="reverse">(x, w, r) }',
        {"w": draw(1, 15, 3), "r": draw(1, 15, 5)},
    ),
    "IsInf": ("(float[6] x) => (bool y) { i = Div(x, z) y = IsInf<detect_negative=0>(i) }", {"z": np.float32(0)}),
    "LSTM": (
        "(float[4,2,3] x, int32[2] n) => (float y, float h, float c) "
        "{ y, h, c = LSTM<hidden_size=5>(x, w, r, b, n, , , p) }",
        _LSTM,
    ),
    "LSTM-both": (
        '(float[3,2,3] x) => (float y, float h) { y, h = LSTM<hidden_size=5, direction="bidirectional">(x, w, r) }',
        {"w": draw(2, 20, 3), "r": draw(2, 20, 5)},
    ),
    "LpNormalization": ("(float[3,4] x) => (float y) { y = LpNormalization<p=1, axis=0>(x) }", {}),
    "MaxUnpool": (
        "(float[1,1,2,3] x) => (float y) { y = MaxUnpool<kernel_shape=[2,2], strides=[2,2]>(x, i) }",
        {"i": np.array([[[[7, 3, 4], [12, 20, 23]]]])},
    ),
    "OptionalGetElement": ("(float[2,3] x) => (float y) { y = OptionalGetElement(x) }", {}),
    "OptionalHasElement": ("(float[2,3] x) => (bool y) { y = OptionalHasElement(x) }", {}),
    "ThresholdedRelu": ("(float[3,4] x) => (float y) { y = ThresholdedRelu<alpha=0.3>(x) }", {}),
    "TfIdfVectorizer": (
        '(int32[2,9] x) => (float y) { y = TfIdfVectorizer<mode="TFIDF", min_gram_length=1, max_gram_length=3, '
        "max_skip_count=2, ngram_counts=[0,2,6], ngram_indexes=[0,1,2,3,4], pool_int64s=[0,1,0,1,1,1,1,0,1], "
        "weights=[0.5,2.0,3.0,1.5,0.25]>(x) }",
        {},
    ),
    "TfIdfVectorizer-idf": (
        '(int64[7] x) => (float y) { y = TfIdfVectorizer<mode="IDF", min_gram_length=2, max_gram_length=2, '
        "max_skip_count=0, ngram_counts=[0,1], ngram_indexes=[2,0,3], pool_int64s=[0,0,1,5,5]>(x) }",
        {},
    ),
    "Mod": ("(int32[9] x) => (int32 y) { a = Sub(x, c) y = Mod<fmod=1>(a, d) }",
            {"c": np.arange(9, dtype=np.int32), "d": np.array([-3] * 9, np.int32)}),
    "OneHot": ("(int64[3] x) => (float y) { i = Sub(x, c) y = OneHot<axis=0>(i, d, v) }",
               {"c": np.array([0, 2, 1]), "d": np.array(4), "v": np.array([0.5, 2], np.float32)}),
    "Pad": ("(float[2,4] x, float v) => (float y) { y = Pad(x, p, v) }", {"p": np.array([1, -1, 0, 2])}),
    "Pow": ("(int32[6] x) => (int32 y) { y = Pow(b, e) z = Add(x, y) }", {}),
    "RNN": (
        "(float[3,2,4] x) => (float y) { y = RNN<hidden_size=5>(x, w, r) }",
        {"w": draw(1, 5, 4), "r": draw(1, 5, 5)},
    ),
    "ReverseSequence": ("(float[4,3,2] x, int64[3] n) => (float y) { m = Add(n, o) y = ReverseSequence(x, m) }",
                        {"o": np.array([1, 2, 3])}),
    "Resize-cubic": ('(float[1,2,5,6] x) => (float y) { y = Resize<mode="cubic", cubic_coeff_a=-0.5>(x, , s) }',
                     {"s": np.array([1, 1, 2, 0.5], np.float32)}),
    "Resize-antialias": ('(float[1,2,8,9] x) => (float y) { y = Resize<mode="linear", antialias=1>(x, , , n) }',
                         {"n": np.array([1, 2, 5, 4])}),
    "Resize-1d": ('(float[2,3,5] x) => (float y) { y = Resize<mode="nearest">(x, , s) }',
                  {"s": np.array([1, 1, 2.5], np.float32)}),
    "STFT": ("(float[1,32,1] x) => (float y) { y = STFT(x, s, w) }", {"s": np.array(6), "w": positive(16)}),
    "Tile": ("(float[2,3,4,5] x) => (float y) { y = Tile(x, r) }", {"r": np.array([7, 6, 4, 2])}),
    "Tile-once": ("(float[2,3] x) => (float y) { y = Tile(x, r) }", {"r": np.array([1, 1])}),
    "TopK": ("(float[3,9,2] x) => (float y, int64 i) { y, i = TopK<axis=1, largest=0>(x, k) }", {"k": np.array([4])}),
    "TopK-equal": ("(int32[3,9] x) => (int32 y, int64 i) { y, i = TopK(x, k) }", {"k": np.array([9])}),
}  # fmt: skip
CASES["Pow"] = ("(int32[6] x) => (int32 y) { b = Sub(x, two) y = Pow(b, e) }",
                {"two": np.array([3, 2, 0, 5, 1, 9], np.int32), "e": np.arange(6, dtype=np.int32)})  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_results_stay(name: str) -> None:
    text, constants = CASES[name]
    model = parse(text, **constants)
    feeds = inputs(model)
    expected = evaluate(model, feeds)
    run_pipeline(model, [Decompose()], verify_each=True)
    op_type = name.split("-")[0]
    if op_type not in ("Pad", "Mod", "Pow", "IsInf"):  # written in themselves, in a form that is right
        assert op_type not in operators(model)
    for actual, wanted in zip(evaluate(model, feeds), expected, strict=True):
        assert actual.dtype == wanted.dtype
        assert relative_error(actual, wanted) <= (0 if wanted.dtype.kind in "iub" else 2e-6)


@pytest.mark.parametrize("op_type", ["MatMul", "Softmax", "ReduceSum"])
def test_half_floats_are_summed_in_float32(op_type: str) -> None:
    second = ", w" if op_type == "MatMul" else ""
    constants = {"w": draw(64, 8).astype(np.float16)} if second else {}
    model = parse(f"(float16[4,64] x) => (float16 y) {{ y = {op_type}(x{second}) }}", **constants)
    run_pipeline(model, [Decompose()], verify_each=True)
    (node,) = (node for node in model.graph if node.op_type == op_type)
    assert all(value is not None and value.dtype == ir.DataType.FLOAT for value in node.inputs)
    assert model.graph.outputs[0].dtype == ir.DataType.FLOAT16


def test_a_float_remainder_has_the_sign_of_the_divisor() -> None:
    model = parse("(float[8] x, float[8] y) => (float r) { r = Mod<fmod=1>(x, y) }")
    del model.graph.node("Mod_0").attributes["fmod"]  # which older opsets did not allow, and onnxruntime does not take
    run_pipeline(model, [Decompose()], verify_each=True)
    inf, nan = np.float32(np.inf), np.float32(np.nan)
    x = np.array([5.5, -5.5, 5.5, -5.5, -3, inf, 1, -6], np.float32)
    y = np.array([2, 2, -2, -2, inf, 2, 0, 3], np.float32)
    expected = np.array([1.5, 0.5, -0.5, -1.5, inf, nan, nan, 0], np.float32)
    np.testing.assert_array_equal(evaluate(model, {"x": x, "y": y})[0], expected)


def test_what_has_a_kernel_stays() -> None:
    model = parse('(float[1,2,4,4] x) => (float y) { y = Resize<mode="linear">(x, , s) }',
                  s=np.array([1, 1, 2, 2], np.float32))  # fmt: skip
    assert not Decompose().apply(model)


def test_an_aligned_fraction_is_refused() -> None:
    text = """(float[1,1,4,4] x) => (float y)
        { y = Resize<mode="linear", coordinate_transformation_mode="align_corners">(x, , s) }"""
    with pytest.raises(HetpartError) as caught:
        Decompose().apply(parse(text, s=np.array([1, 1, 0.8, 0.8], np.float32)))
    assert caught.value.code == "ambiguous-resize"


def test_every_rule_is_tried_here_or_by_the_conformance_tests() -> None:
    tried = {name.split("-")[0] for name in CASES} | set(WIDENED)
    quantised = {"DequantizeLinear", "QuantizeLinear"}  # 16 bits and blocks: ONNX's own tests
    assert RULES.keys() - tried == quantised | {"ReduceMax", "ReduceMin"}
