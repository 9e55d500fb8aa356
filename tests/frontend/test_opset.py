"""Operators in the form of old and new opsets keep their meaning at the one opset of the frontend."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx.backend.test.loader import load_model_tests
from onnx.reference import ReferenceEvaluator

from examples import zoo
from hetpart import reference
from hetpart.errors import HetpartError
from hetpart.frontend import import_model
from hetpart.frontend.opset import OPSET
from tests.frontend.support import model_of, op_types, refused, same_function
from tests.numerics import relative_error
from tests.passes.support import evaluate

IMAGE = "float[1,3,5,6] x"
UPSCALE = {"s": np.array([1, 1, 4, 4], np.float32)}
CHANNELS = {name: np.array([1, 2, 3], np.float32) * scale for name, scale in zip("abmv", (1, 0.5, 0.1, 2), strict=True)}
RECURRENT = {
    "w": np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 8, 2),
    "r": np.linspace(-0.5, 1, 16, dtype=np.float32).reshape(1, 8, 2),
}

OLD_FORMS: list[tuple[int, str, str, dict[str, np.ndarray]]] = [
    (7, "y = Softmax(x)", IMAGE, {}),
    (11, "y = Softmax<axis=2>(x)", IMAGE, {}),
    (11, "y = LogSoftmax<axis=-1>(x)", IMAGE, {}),
    (7, 'y = Upsample<mode="nearest", scales=[1.0,1.0,4.0,3.0]>(x)', IMAGE, {}),
    (9, 'y = Upsample<mode="nearest">(x, s)', IMAGE, UPSCALE),
    (9, 'y = Upsample<mode="linear">(x, s)', IMAGE, UPSCALE),
    (10, 'y = Resize<mode="nearest">(x, s)', IMAGE, UPSCALE),
    (10, 'y = Resize<mode="linear">(x, s)', IMAGE, UPSCALE),
    (10, 'y = Resize<mode="nearest">(x, s)', IMAGE, {"s": np.array([1, 1, 0.5, 2], np.float32)}),
    (11, 'y = Resize<mode="linear", coordinate_transformation_mode="align_corners">(x, roi, s)', IMAGE,
     {**UPSCALE, "roi": np.zeros(0, np.float32)}),
    (13, 'y = Resize<mode="cubic">(x, , , z)', IMAGE, {"z": np.array([1, 3, 20, 24])}),
    (13, 'y = Resize<mode="nearest">(x, , s)', IMAGE, UPSCALE),
    (7, "y = BatchNormalization<epsilon=0.01>(x, a, b, m, v)", IMAGE, CHANNELS),
    (9, "y = BatchNormalization(x, a, b, m, v)", IMAGE, CHANNELS),
    (14, "y = BatchNormalization(x, a, b, m, v)", IMAGE, CHANNELS),
    (7, "y = Dropout<ratio=0.3>(x)", IMAGE, {}),
    (10, "y = Dropout<ratio=0.3>(x)", IMAGE, {}),
    (7, 'y = Pad<mode="reflect", pads=[0,0,1,1,0,0,2,2]>(x)', IMAGE, {}),
    (7, "y = Pad<value=2.5, pads=[0,0,1,1,0,0,2,2]>(x)", IMAGE, {}),
    (7, "y = Clip<min=-0.5, max=0.5>(x)", IMAGE, {}),
    (7, "y = Clip<min=-0.5>(x)", IMAGE, {}),
    (7, "y = Slice<axes=[2,3], starts=[1,-3], ends=[3,100]>(x)", IMAGE, {}),
    (7, "y = Slice<starts=[0,1], ends=[1,3]>(x)", IMAGE, {}),
    (7, "y, i = TopK<k=2, axis=3>(x)", IMAGE, {}),
    (10, "y, i = TopK<axis=3>(x, k)", IMAGE, {"k": np.array([2])}),
    (9, "y = Scatter<axis=3>(x, i, u)", IMAGE,
     {"i": np.array([[[[1, 4]]]]), "u": np.array([[[[7, 8]]]], np.float32)}),
    (11, "y = Squeeze<axes=[0]>(x)", IMAGE, {}),
    (11, "y = Squeeze(x)", IMAGE, {}),
    (11, "y = Unsqueeze<axes=[0,5]>(x)", IMAGE, {}),
    (7, "y = ReduceSum(x)", IMAGE, {}),
    *((13 if op != "ReduceSum" else 11, f"e = Exp(x) y = {op}<axes=[1,-1], keepdims=0>(e)", IMAGE, {})
      for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
                 "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare")),
    (11, "a, y = Split<axis=3, split=[2,4]>(x)", IMAGE, {}),
    (11, "a, y = Split<axis=3>(x)", IMAGE, {}),
    (13, "a, y = Split<axis=3>(x)", IMAGE, {}),
    (7, "y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)", IMAGE, {}),
    (7, "y = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)", IMAGE, {}),
    (7, 'y = AveragePool<kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_UPPER">(x)', IMAGE, {}),
    (11, "y = AveragePool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1, count_include_pad=1>(x)", IMAGE, {}),
    (11, "y = MaxPool<kernel_shape=[3,3], strides=[3,3], pads=[1,1,1,1], ceil_mode=1>(x)", "float[1,1,2,4] x", {}),
    (17, "y = AveragePool<kernel_shape=[3,3], strides=[3,3], pads=[1,1,1,1], ceil_mode=1>(x)", "float[1,1,2,4] x", {}),
    (7, 'y = ConvTranspose<kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_LOWER">(x, w)', IMAGE,
     {"w": np.linspace(-1, 1, 54, dtype=np.float32).reshape(3, 2, 3, 3)}),
    (7, "f = Flatten(x) y = Gemm<transB=1>(f, w, a)", "float[2,2,2] x",
     {"w": np.eye(3, 4, dtype=np.float32), "a": CHANNELS["a"]}),
    (11, "f = Flatten(x) y = Gemm(f, w)", "float[2,2,2] x", {"w": np.eye(4, 3, dtype=np.float32)}),
    (11, "y = ArgMax<axis=1, keepdims=0>(x)", IMAGE, {}),
    (8, "y = Cast<to=7>(x)", IMAGE, {}),
    (7, "y = Sum(x, x, x)", IMAGE, {}),
    (8, "a = Neg(x) y = Max(x, a)", IMAGE, {}),
    (7, "y = PRelu(x, s)", IMAGE, {"s": CHANNELS["m"].reshape(3, 1, 1)}),
    (7, "y = InstanceNormalization(x, a, b)", IMAGE, CHANNELS),
    (7, "y = LRN<size=3>(x)", IMAGE, {}),
    (7, "y = Tile(x, r)", IMAGE, {"r": np.array([1, 1, 1, 2])}),
    (11, "y = DepthToSpace<blocksize=2>(x)", "float[1,4,2,2] x", {}),
    (9, "i = Cast<to=7>(x) y = OneHot(i, d, v)", "float[3] x", {"d": np.int64(4), "v": np.array([0, 1], np.float32)}),
    (9, "c = Greater(x, z) y = Where(c, x, z)", IMAGE, {"z": np.float32(0.1)}),
    (9, "y = MeanVarianceNormalization(x)", IMAGE, {}),
    (13, "y = MeanVarianceNormalization<axes=[2,3]>(x)", IMAGE, {}),
    (21, "y = GroupNormalization<num_groups=2>(x, a, b)", "float[1,4,5,6] x",
     {"a": np.array([1, 2, 3, 4], np.float32), "b": np.array([3, 4, 5, 6], np.float32)}),
    (7, "y, h, c = LSTM<hidden_size=2>(x, w, r)", "float[3,1,2] x", RECURRENT),
    (13, "y, h = GRU<hidden_size=2, linear_before_reset=1>(x, w, r)", "float[3,1,2] x",
     {name: array[:, :6] for name, array in RECURRENT.items()}),
    (20, 'y = Gelu<approximate="tanh">(x)', IMAGE, {}),
    (23, "y = RMSNormalization<axis=-1>(x, g)", IMAGE, {"g": np.linspace(0.5, 2, 6, dtype=np.float32)}),
    (23, "y = Attention(q, k, v)", "float[1,2,5,4] q, float[1,2,6,4] k, float[1,2,6,4] v", {}),
    (23, "y = Attention<is_causal=1>(q, k, v)", "float[1,2,5,4] q, float[1,2,6,4] k, float[1,2,6,4] v", {}),
    (24, "y = Swish<alpha=1.5>(x)", IMAGE, {}),
]  # fmt: skip


@pytest.mark.parametrize(("opset", "body", "inputs", "constants"), OLD_FORMS)
def test_meaning_is_kept(opset: int, body: str, inputs: str, constants: dict[str, np.ndarray]) -> None:
    read = {name: array for name, array in constants.items() if f" {name}," in body or f" {name})" in body}
    model = model_of(f"({inputs}) => () {{ {body} }}", opset, **read)
    types = {value.name: value for value in onnx.shape_inference.infer_shapes(model).graph.value_info}
    for name in model.graph.node[-1].output:
        elem_type = types[name].type.tensor_type.elem_type if name in types else TensorProto.FLOAT
        model.graph.output.append(helper.make_tensor_value_info(name, elem_type, None))
    assert same_function(model, feeds=zoo.inputs(model)).graph.opset_imports[""] == OPSET


def test_a_pooling_window_that_starts_in_the_padding_does_not_exist() -> None:
    """Type inference of opsets 10 to 21 counts it; the operators never did."""
    model = model_of(
        "(float[1,1,2,2] x) => (float[1,1,2,2] y) "
        "{ y = MaxPool<kernel_shape=[3,3], strides=[3,3], pads=[1,1,1,1], ceil_mode=1>(x) }",
        opset=12,
    )
    assert tuple(import_model(model).graph.outputs[0].shape.numpy()) == (1, 1, 1, 1)


def test_group_normalisation_is_written_out() -> None:
    constants = {name: np.ones(4, np.float32) for name in "ab"}
    model = model_of("(float[1,4,5,6] x) => (float[1,4,5,6] y) { y = GroupNormalization<num_groups=2>(x, a, b) }",
                     opset=22, **constants)  # fmt: skip
    assert "GroupNormalization" not in op_types(import_model(model))


def test_hardmax_of_old_is_refused() -> None:
    with refused("opset-conversion", "Hardmax", "opset 13", node="Hardmax_0"):
        import_model(model_of("(float[2,3] x) => (float[2,3] y) { y = Hardmax(x) }", opset=11))


def test_nearest_at_a_factor_that_opset_10_left_open_is_refused() -> None:
    text = '(float[1,3,5,6] x) => (float[a,b,c,d] y) { y = Resize<mode="nearest">(x, s) }'
    with refused("opset-conversion", "Resize", node="Resize_0"):
        import_model(model_of(text, opset=10, s=np.array([1, 1, 0.4, 1], np.float32)))


def test_an_operator_without_an_older_form_is_refused() -> None:
    model = model_of("(float[3] x, int64 n) => (float[3] y) { y = CumProd(x, n) }", opset=26)
    with refused("opset-conversion", "CumProd", f"opset {OPSET} or earlier", node="CumProd_0"):
        import_model(model)


def test_an_attribute_without_an_older_form_is_written_out() -> None:
    text = '(float[1,1,4,4] x) => (float[1,4,2,2] y) {{ y = SpaceToDepth<blocksize=2, mode="{}">(x) }}'
    assert "SpaceToDepth" not in op_types(import_model(model_of(text.format("CRD"), opset=28)))
    assert op_types(import_model(model_of(text.format("DCR"), opset=28))) == ["SpaceToDepth"]


@pytest.mark.parametrize(
    "body",
    [
        "y = CumProd(x, one)",
        "y = CumProd<exclusive = 1, reverse = 1>(x, zero)",
        "y = CumProd<exclusive = 1>(x, one)",
        "y = TensorScatter<axis = 1>(x, u, i)",
        'y = TensorScatter<axis = 1, mode = "circular">(x, u, i)',
    ],
)
def test_newer_operators_are_written_in_older_ones(body: str) -> None:
    constants = {"zero": np.array(0), "one": np.array(1), "i": np.array([2, 0]), "u": np.ones((2, 3, 2), np.float32)}
    read = {name: array for name, array in constants.items() if f" {name}," in body or f" {name})" in body}
    model = model_of(f"(float[2,5,2] x) => (float[2,5,2] y) {{ {body} }}", 26, **read)
    feeds = zoo.inputs(model)
    (actual,) = evaluate(import_model(model), feeds)
    (expected,) = ReferenceEvaluator(model).run(None, feeds)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
def test_signed_shifts_are_unsigned_ones(direction: str) -> None:
    text = f'(int16[8] x) => (int16[8] y) {{ y = BitShift<direction = "{direction}">(a, n) z = Add(x, y) }}'
    model = model_of(text, 28,
                     a=np.array([-8, 8, -1, 1, 300, -300, 32767, -32768], np.int16),
                     n=np.array([1, 1, 3, 3, 0, 2, 15, 15], np.int16))  # fmt: skip
    feeds = {"x": np.zeros(8, np.int16)}
    actual = reference.evaluate(ir.to_proto(import_model(model)), feeds)["y"]  # onnxruntime has no Where of int16
    (expected,) = ReferenceEvaluator(model).run(None, feeds)
    np.testing.assert_array_equal(actual, expected)


def test_an_element_type_without_an_older_form_is_refused() -> None:
    with refused("type-inference", "bfloat16", node="Einsum_0"):
        text = '(bfloat16[2,3] x) => (bfloat16[3,2] y) { y = Einsum<equation = "ij->ji">(x) }'
        import_model(model_of(text, opset=28))


NODE_TESTS = {
    "attention", "averagepool", "cast", "clip", "concat", "conv", "convtranspose", "elu", "expand", "flatten", "gather",
    "gelu", "gemm", "globalaveragepool", "group", "hardsigmoid", "hardswish", "instancenorm", "layer", "matmul",
    "maxpool", "mish", "pad", "pow", "prelu", "reduce", "reshape", "resize", "rms", "slice", "softmax", "split",
    "squeeze", "swish", "tile", "topk", "transpose", "unsqueeze", "upsample", "where",
}  # fmt: skip


@pytest.mark.slow
def test_onnx_node_tests_keep_their_results() -> None:
    """The conformance tests of the onnx package, at its newest opset: what is imported gives the expected outputs."""
    checked = 0
    for case in load_model_tests(kind="node"):
        words = case.name.removeprefix("test_").split("_")
        if "expanded" in words or words[0] not in NODE_TESTS or not case.data_sets:
            continue
        if any(isinstance(array, (list, onnx.TensorProto)) for array in (*case.data_sets[0][0], *case.data_sets[0][1])):
            continue
        try:
            imported = import_model(case.model)
        except HetpartError:
            continue  # shapes, axes or pads are inputs in most of these tests
        arrays, expected = case.data_sets[0]
        feeds = {value.name: np.asarray(array) for value, array in zip(case.model.graph.input, arrays, strict=True)}
        try:
            outputs = evaluate(imported, feeds)
        except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
            continue
        for actual, wanted in zip(outputs, expected, strict=True):
            wanted = np.asarray(wanted)
            half = actual.dtype.itemsize == 2
            assert relative_error(actual, wanted) <= (1e-2 if half else 1e-3), case.name  # some expect rounded numbers
            checked += 1
    assert checked > 300
