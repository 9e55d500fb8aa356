"""QOperator models: what they become computes what they compute, by onnxruntime's own operators."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from hetpart.frontend import import_model
from hetpart.graph.units import TensorType
from hetpart.verify import random_inputs, reference
from tests.frontend.support import model_of, refused

A = {"s": np.float32(0.02), "z": np.uint8(120), "s2": np.float32(0.031), "z2": np.uint8(99)}
rng = np.random.default_rng(0)
CONV = {
    "w": rng.integers(-127, 128, (8, 4, 3, 3)).astype(np.int8),
    "ws": rng.uniform(0.001, 0.004, 8).astype(np.float32),
    "wz": np.zeros(8, np.int8),
    "b": rng.integers(-500, 500, 8).astype(np.int32),
}
MATRIX = {
    "w": rng.integers(-127, 128, (8, 5)).astype(np.int8),
    "ws": rng.uniform(0.001, 0.004, 5).astype(np.float32),
    "wz": np.zeros(5, np.int8),
    "b": rng.integers(-500, 500, 5).astype(np.int32),
}
MAP, ROWS = "(uint8[1,4,6,6] x) => (uint8 y)", "(uint8[3,8] x) => (uint8 y)"

CASES = {
    "QLinearConv": (f"{MAP} {{ y = QLinearConv <pads = [1,1,1,1]> (x, s, z, w, ws, wz, s2, z2, b) }}", A | CONV),
    "QLinearConv, one scale": (
        f"{MAP} {{ y = QLinearConv (x, s, z, w, ws, wz, s2, z2) }}",
        A | CONV | {"ws": np.float32(0.002), "wz": np.int8(0)},
    ),
    "QLinearMatMul": (f"{ROWS} {{ y = QLinearMatMul (x, s, z, w, ws, wz, s2, z2) }}", A | MATRIX),
    "QGemm": (f"{ROWS} {{ y = com.microsoft.QGemm (x, s, z, w, ws, wz, b, s2, z2) }}", A | MATRIX),
    "QGemm, transposed, real": (
        "(uint8[3,8] x) => (float y) { y = com.microsoft.QGemm <transB = 1> (x, s, z, w, ws, wz, b) }",
        A | MATRIX | {"w": np.ascontiguousarray(MATRIX["w"].T)},
    ),
    "QLinearAdd": ("(uint8[1,4,6,6] x, uint8[1,4,6,6] v) => (uint8 y) "
                   "{ y = com.microsoft.QLinearAdd (x, s, z, v, s2, z2, s2, z) }", A),
    "QLinearMul": ("(uint8[1,4,6,6] x, uint8[1,4,1,1] v) => (uint8 y) "
                   "{ y = com.microsoft.QLinearMul (x, s, z, v, s2, z2, s, z) }", A),
    "QLinearConcat": ("(uint8[1,4,6,6] x, uint8[1,2,6,6] v) => (uint8 y) "
                      "{ y = com.microsoft.QLinearConcat <axis = 1> (s2, z2, x, s, z, v, s2, z2) }", A),
    "QLinearGlobalAveragePool": (
        f"{MAP} {{ y = com.microsoft.QLinearGlobalAveragePool <channels_last = 0> (x, s, z, s2, z2) }}", A,
    ),
    "QLinearAveragePool": (
        f"{MAP} {{ y = com.microsoft.QLinearAveragePool <kernel_shape = [3,3]> (x, s, z, s2, z2) }}", A,
    ),
    "QLinearSigmoid": (f"{MAP} {{ y = com.microsoft.QLinearSigmoid (x, s, z, s2, z2) }}", A),
    "QLinearLeakyRelu": (f"{MAP} {{ y = com.microsoft.QLinearLeakyRelu <alpha = 0.3> (x, s, z, s2, z2) }}", A),
    "conversions": (
        "(float[3,8] x) => (float y) "
        "{ q = com.microsoft.QuantizeLinear (x, s, z) y = com.microsoft.DequantizeLinear (q, s, z) }", A,
    ),
    "ConvInteger": ("(uint8[1,4,6,6] x) => (float y) { a = ConvInteger <pads = [1,1,1,1]> (x, w, z) "
                    "f = Cast <to = 1> (a) y = Mul (f, s) }", A | CONV),
    "MatMulInteger": (
        "(uint8[3,8] x) => (float y) { a = MatMulInteger (x, w, z) f = Cast <to = 1> (a) y = Mul (f, s) }", A | MATRIX,
    ),
    "dynamic": ("(float[3,8] x) => (float y) { q, t, u = DynamicQuantizeLinear (x) a = MatMulInteger (q, w, u) "
                "f = Cast <to = 1> (a) y = Mul (f, t) }", MATRIX),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_function_stays(case: str) -> None:
    text, constants = CASES[case]
    used = {name: data for name, data in constants.items() if f"{name}" in _names(text)}
    model = model_of(text, opset=17, domain="com.microsoft", **used)
    imported = import_model(model)
    left = {(node.domain, node.op_type) for node in imported.graph}
    assert not any(domain or "Integer" in op or (op.startswith("Q") and op != "QuantizeLinear") for domain, op in left)
    types = {}
    for value in imported.graph.inputs:
        assert value.shape is not None
        assert value.dtype is not None
        types[value.name or ""] = TensorType(tuple(value.shape.numpy()), value.dtype.numpy().name)
    feeds = random_inputs(types)
    (want,) = reference(model, feeds).values()
    (got,) = reference(ir.to_proto(imported), feeds).values()
    assert want.std() > 0
    if want.dtype == np.float32:
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_array_equal(got, want)


def _names(text: str) -> set[str]:
    return {word.strip("(),;") for word in text.replace("(", " ").split()}


def test_what_is_not_known_is_refused() -> None:
    text = f"{MAP} {{ y = com.microsoft.QLinearReduceMean (x, s, z, s2, z2) }}"
    with refused("unknown-domain", "QLinearReduceMean"):
        import_model(model_of(text, opset=17, domain="com.microsoft", **A))
    text = f"{MAP} {{ y = com.microsoft.QLinearGlobalAveragePool <channels_last = 1> (x, s, z, s2, z2) }}"
    with refused("unknown-domain", "QLinearGlobalAveragePool"):
        import_model(model_of(text, opset=17, domain="com.microsoft", **A))


def test_a_scale_per_channel_needs_an_axis() -> None:
    text = f"{ROWS} {{ y = com.microsoft.QGemm (x, s, z, w, ws, wz, b, s2, z2) }}"
    with refused("opset-too-old", "opset 13"):
        import_model(model_of(text, opset=12, domain="com.microsoft", **A, **MATRIX))


def test_an_exact_sum_that_float32_cannot_hold_stays_an_integer_operator() -> None:
    text = "(uint8[2,600] x) => (int32 y) { y = MatMulInteger (x, w, z) }"
    weight = rng.integers(-127, 128, (600, 3)).astype(np.int8)
    imported = import_model(model_of(text, opset=17, z=np.uint8(3), w=weight))
    assert [node.op_type for node in imported.graph] == ["MatMulInteger"]


def test_rows_may_have_scales_of_their_own() -> None:
    scales, zeros = np.array([0.02, 0.5, 3.0], np.float32), np.array([120, 3, 77], np.uint8)
    weight = rng.integers(-9, 10, (3, 3)).astype(np.int8)
    text = "(uint8[3,3] x) => (uint8 y) { y = QLinearMatMul (x, s, z, w, ws, wz, s2, z2) }"
    constants = {"w": weight, "ws": np.float32(0.004), "wz": np.int8(1), "s2": np.float32(0.031), "z2": np.uint8(99)}
    imported = ir.to_proto(import_model(model_of(text, opset=17, s=scales, z=zeros, **constants)))
    x = rng.integers(0, 256, (3, 3)).astype(np.uint8)
    real = ((x.astype(np.float64) - zeros[:, None]) * scales[:, None]) @ ((weight - 1.0) * 0.004)
    want = np.clip(np.rint(real / 0.031) + 99, 0, 255)  # no tie is near
    np.testing.assert_array_equal(reference(imported, {"x": x})["y"], want)
