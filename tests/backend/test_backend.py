"""hetpart as an ONNX backend: what is compiled when, what is given back, what is refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, parser

import hetpart.backend as backend
from hetpart.backend.parameters import parameter_inputs
from hetpart.errors import HetpartError


def model_of(text: str, opset: int = 20) -> onnx.ModelProto:
    return parser.parse_model(f'<ir_version: 9, opset_import: ["": {opset}]> test {text}')


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("strategy", ["cpu", "gpu"])
def test_a_model_is_compiled_when_it_is_prepared(strategy: str) -> None:
    model = model_of("(float[1,3,6,6] x) => (float[1,3,6,6] a, float[1,3,6,6] b) { a = Relu(x) b = Sigmoid(a) }")
    prepared = backend.prepare(model, strategy=strategy)
    for _ in range(2):
        x = draw(1, 3, 6, 6)
        outputs = prepared.run([x])
        np.testing.assert_array_equal(outputs.a, np.maximum(x, 0))
        np.testing.assert_allclose(outputs[1], 1 / (1 + np.exp(-outputs.a)), rtol=1e-5)


def test_a_parameter_is_an_input_like_others() -> None:
    prepared = backend.prepare(model_of("(float[2,6] x, int64[2] shape) => (float[a,b] y) { y = Reshape(x, shape) }"))
    assert prepared.parameters == ("shape",)
    x = draw(2, 6)
    for shape in [(3, 4), (4, 3), (3, 4)]:
        (y,) = prepared.run([x, np.array(shape)])
        np.testing.assert_array_equal(y, x.reshape(shape))


def test_open_dimensions_come_from_the_inputs() -> None:
    prepared = backend.prepare(model_of("(float[n,3] x) => (float[n,3] y) { y = Neg(x) }"))
    for n in (1, 4):
        x = draw(n, 3)
        np.testing.assert_array_equal(prepared.run({"x": x})[0], -x)


def test_what_shapes_are_computed_from_is_a_parameter_but_data_never_are() -> None:
    model = model_of(
        """(float[2,6] x, int64[1] n, float[2] w, int64[2] i) => (float[a,b] y) {
            one = Constant<value_ints = [1]>() m = Add(n, one) s = Concat<axis = 0>(m, one) t = Tile(x, s)
            k = Shape(w) z = Expand(t, k) y = Gather(z, i)
        }"""
    )
    assert parameter_inputs(model) == ("n",)


def test_a_node_alone() -> None:
    node = helper.make_node("Clip", ["x", "", "high"], ["y"])
    (y,) = backend.run_node(node, [draw(5), np.float32(0.25)])
    np.testing.assert_array_equal(y, np.minimum(draw(5), np.float32(0.25)))


def test_tensors_without_elements_and_constants_are_outputs() -> None:
    model = model_of(
        """(float[2,3] x) => (float[2,0] e, int64[2] s, float[] c, float[2,3] same) {
            zero = Constant<value_ints = [0]>() one = Constant<value_ints = [1]>()
            e = Slice(x, zero, zero, one) s = Shape(x) c = Constant<value_float = 2.5>() same = Identity(x)
        }"""
    )
    x = draw(2, 3)
    outputs = backend.run_model(model, [x])
    assert outputs.e.shape == (2, 0)
    assert outputs.s.tolist() == [2, 3]
    assert outputs.c == np.float32(2.5)
    np.testing.assert_array_equal(outputs.same, x)


def test_maxima_begin_at_minus_infinity() -> None:
    model = model_of("(float[2,3] x) => (float[2] a, float[2] b) "
                     "{ i = Constant<value_ints = [1]>() a = ReduceMax<keepdims=0>(x, i) n = Neg(x) "
                     "b = ReduceMin<keepdims=0>(n, i) }")  # fmt: skip
    x = np.array([[-np.inf] * 3, [1, -np.inf, 2]], np.float32)
    outputs = backend.run_model(model, [x])
    assert outputs.a.tolist() == [-np.inf, 2]
    assert outputs.b.tolist() == [np.inf, -2]


def test_refusals_have_a_code() -> None:
    model = model_of("(float[3] x) => (float[3] y) { y = Neg(x) }")
    with pytest.raises(HetpartError, match="bad-input"):
        backend.run_model(model, [draw(3), draw(3)])
    with pytest.raises(HetpartError, match="bad-option"):
        backend.prepare(model, "CUDA")
    with pytest.raises(HetpartError, match="bad-option"):
        backend.prepare(model, threads=3)
    value = helper.make_tensor_value_info("x", TensorProto.STRING, [1])
    result = helper.make_tensor_value_info("y", TensorProto.STRING, [1])
    strings = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "strings", [value], [result])
    with pytest.raises(HetpartError, match="unsupported-dtype"):
        backend.prepare(helper.make_model(strings))


def test_devices() -> None:
    assert backend.supports_device("CPU")
    assert not backend.supports_device("CUDA")
    assert not backend.supports_device("TOASTER")


def test_compatibility_is_asked_of_the_compiler() -> None:
    assert backend.is_compatible(model_of("(float[3] x) => (float[3] y) { y = Neg(x) }"))
    assert not backend.is_compatible(model_of("(float[3] x) => (int64[a,b] y) { y = NonZero(x) }"))
