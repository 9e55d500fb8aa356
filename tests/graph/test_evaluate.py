"""apply_steps agrees with onnxruntime for every step that ONNX has an operator for."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, parser

from hetpart.errors import InternalError
from hetpart.graph import evaluate
from hetpart.graph.epilogue import BINARY, PARAMETRIC, UNARY, Step
from hetpart.graph.evaluate import apply_steps

X = np.linspace(-6, 6, 240, dtype=np.float32).reshape(2, 3, 8, 5)

UNARY_BODY = {
    "relu": "y = Relu(x)",
    "sigmoid": "y = Sigmoid(x)",
    "tanh": "y = Tanh(x)",
    "exp": "y = Exp(x)",
    "log": "y = Log(x)",
    "sqrt": "y = Sqrt(x)",
    "abs": "y = Abs(x)",
    "neg": "y = Neg(x)",
    "reciprocal": "y = Reciprocal(x)",
    "erf": "y = Erf(x)",
    "floor": "y = Floor(x)",
    "ceil": "y = Ceil(x)",
    "softplus": "y = Softplus(x)",
    "softsign": "y = Softsign(x)",
    "gelu": "y = Gelu(x)",
    "gelu_tanh": 'y = Gelu<approximate="tanh">(x)',
    "silu": "s = Sigmoid(x)\n y = Mul(x, s)",
    "hardswish": "y = HardSwish(x)",
    "mish": "y = Mish(x)",
    "rsqrt": "s = Sqrt(x)\n y = Reciprocal(s)",
    "square": "y = Mul(x, x)",
    "sign": "y = Sign(x)",
}
PARAMETRIC_BODY = {
    "clip": ((-1.5, 2.25), "lo = Constant<value_float=-1.5>() hi = Constant<value_float=2.25>() y = Clip(x, lo, hi)"),
    "leaky_relu": ((0.1,), "y = LeakyRelu<alpha=0.1>(x)"),
    "elu": ((0.7,), "y = Elu<alpha=0.7>(x)"),
    "hard_sigmoid": ((0.3, 0.4), "y = HardSigmoid<alpha=0.3, beta=0.4>(x)"),
    "add_const": ((0.75,), "c = Constant<value_float=0.75>()\n y = Add(x, c)"),
    "mul_const": ((-1.5,), "c = Constant<value_float=-1.5>()\n y = Mul(x, c)"),
    "pow_const": ((3.0,), "c = Constant<value_float=3.0>()\n y = Pow(x, c)"),
}
BINARY_OPERATOR = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min", "pow": "Pow", "prelu": "PRelu",
}  # fmt: skip


def run_onnx(body: str, x: np.ndarray, operand: np.ndarray | None = None) -> np.ndarray:
    def declare(name: str, array: np.ndarray) -> str:
        return f"float[{','.join(map(str, array.shape))}] {name}"

    inputs = [declare("x", x)] + ([] if operand is None else [declare("p", operand)])
    text = f'<ir_version: 9, opset_import: ["" : 20]> g ({", ".join(inputs)}) => (float y) {{ {body} }}'
    model = parser.parse_model(text)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {"x": x} if operand is None else {"x": x, "p": operand}
    return np.asarray(session.run(None, feed)[0])


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    actual, expected = actual[finite].astype(np.float64), expected[finite].astype(np.float64)
    assert np.linalg.norm(actual - expected) <= 1e-6 * np.linalg.norm(expected)


def test_every_step_is_defined() -> None:
    assert set(evaluate._UNARY) == UNARY == set(UNARY_BODY)
    assert set(evaluate._PARAMETRIC) == set(PARAMETRIC) == set(PARAMETRIC_BODY)
    assert set(evaluate._BINARY) == BINARY == set(BINARY_OPERATOR)


@pytest.mark.parametrize("op", sorted(UNARY))
def test_unary(op: str) -> None:
    assert_close(apply_steps(X, [Step(op)], []), run_onnx(UNARY_BODY[op], X))


@pytest.mark.parametrize("op", sorted(PARAMETRIC))
def test_parametric(op: str) -> None:
    constants, body = PARAMETRIC_BODY[op]
    assert_close(apply_steps(X, [Step(op, constants)], []), run_onnx(body, X))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 8, 5), (1, 3, 1, 1), (5,), ()])
@pytest.mark.parametrize("op", sorted(BINARY - {"prelu"}))
def test_binary(op: str, shape: tuple[int, ...], reverse: bool) -> None:
    operand = np.random.default_rng(1).uniform(0.5, 2, shape).astype(np.float32)
    body = f"y = {BINARY_OPERATOR[op]}({'p, x' if reverse else 'x, p'})"
    assert_close(apply_steps(X, [Step(op, operand=0, reverse=reverse)], [operand]), run_onnx(body, X, operand))


def test_prelu() -> None:
    slope = np.array([0.1, -0.2, 0.3], np.float32).reshape(3, 1, 1)
    assert_close(apply_steps(X, [Step("prelu", operand=0)], [slope]), run_onnx("y = PRelu(x, p)", X, slope))


def test_steps_run_in_order_and_leave_the_input_alone() -> None:
    before = X.copy()
    steps = [Step("add", operand=1), Step("mul", operand=0), Step("relu"), Step("clip", (0.0, np.inf))]
    p, q = np.float32(2) * np.ones((3, 1, 1), np.float32), X
    np.testing.assert_array_equal(apply_steps(X, steps, [p, q]), np.maximum((X + X) * 2, 0))
    np.testing.assert_array_equal(X, before)


def test_double_in_double_out() -> None:
    wide = X.astype(np.float64)
    for op in sorted(UNARY):
        assert apply_steps(wide, [Step(op)], []).dtype == np.float64
    assert apply_steps(wide, [Step("add", operand=0)], [X]).dtype == np.float64


def test_array_without_dimensions_stays_an_array() -> None:
    for steps in ([Step("relu")], [Step("add_const", (1.0,))], [Step("add", operand=0)]):
        result = apply_steps(np.array(2.0, np.float32), steps, [np.array(1.0, np.float32)])
        assert isinstance(result, np.ndarray)


def test_no_overflow_at_extremes() -> None:
    big = np.array([-1e4, -100, 0, 100, 1e4], np.float32)
    for op in ("sigmoid", "silu", "gelu", "gelu_tanh", "mish", "softplus", "hardswish", "tanh", "erf"):
        assert np.isfinite(apply_steps(big, [Step(op)], [])).all(), op


def test_operand_that_enlarges_is_refused() -> None:
    with pytest.raises(InternalError, match="an epilogue must keep it"):
        apply_steps(np.ones((1, 3), np.float32), [Step("add", operand=0)], [np.ones((2, 3), np.float32)])
