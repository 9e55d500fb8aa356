"""The form of quantised models: integers move, weights are where kernels look for them, the function stays."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from hetpart.passes.pipeline import optimisation_level, run_pipeline
from tests.passes.support import draw, evaluate, inputs, parse

BYTE = {"s": np.float32(0.02), "z": np.uint8(120), "s2": np.float32(0.03), "z2": np.uint8(99)}


def formed(text: str, **constants: np.ndarray) -> ir.Model:
    """The model after all passes of O1, each of which is verified; exactly the same function."""
    model = parse(text, **constants)
    feeds = inputs(model)
    expected = evaluate(model, feeds)
    run_pipeline(model, optimisation_level("O1"), verify_each=True)
    for actual, wanted in zip(evaluate(model, feeds), expected, strict=True):
        assert wanted.std() > 0
        np.testing.assert_array_equal(actual, wanted)
    return model


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize(
    "move",
    [
        "m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (d)",
        "m = Transpose <perm = [0, 2, 3, 1]> (d)",
        "m = Flatten (d)",
    ],
)
def test_moves_happen_on_integers(move: str) -> None:
    model = formed(
        f"""(float[1,4,6,6] x) => (float[a,b] y) {{
            q = QuantizeLinear (x, s, z)  d = DequantizeLinear (q, s, z)
            {move}
            r = QuantizeLinear (m, s, z)  y = DequantizeLinear (r, s, z)
        }}""".replace("[a,b]", ""),
        **BYTE,
    )
    names = operators(model)
    assert (names.count("QuantizeLinear"), names.count("DequantizeLinear")) == (1, 1)
    moved = next(node for node in model.graph if "uantize" not in node.op_type)
    assert moved.outputs[0].dtype == ir.DataType.UINT8


def test_a_concatenation_requantises_what_has_another_scheme() -> None:
    model = formed(
        """(float[1,4,6,6] x, float[1,4,6,6] v) => (float y) {
            q = QuantizeLinear (x, s, z)   d = DequantizeLinear (q, s, z)
            p = QuantizeLinear (v, s2, z2) e = DequantizeLinear (p, s2, z2)
            c = Concat <axis = 1> (d, e)
            r = QuantizeLinear (c, s, z)   y = DequantizeLinear (r, s, z)
        }""",
        **BYTE,
    )
    (concat,) = [node for node in model.graph if node.op_type == "Concat"]
    assert all(value is not None and value.dtype == ir.DataType.UINT8 for value in concat.inputs)
    assert operators(model).count("QuantizeLinear") == 3


def test_another_scheme_stops_a_move() -> None:
    model = formed(
        """(float[1,4,6,6] x) => (float y) {
            q = QuantizeLinear (x, s, z)   d = DequantizeLinear (q, s, z)
            m = MaxPool <kernel_shape = [2, 2]> (d)
            r = QuantizeLinear (m, s2, z2) y = DequantizeLinear (r, s2, z2)
        }""",
        **BYTE,
    )
    (pool,) = [node for node in model.graph if node.op_type == "MaxPool"]
    assert pool.outputs[0].dtype == ir.DataType.FLOAT


def test_quantising_back_and_forth_is_nothing() -> None:
    model = formed(
        """(float[8] x) => (float y) {
            q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z)
            r = QuantizeLinear (d, s, z) y = DequantizeLinear (r, s, z)
        }""",
        **BYTE,
    )
    assert operators(model) == ["QuantizeLinear", "DequantizeLinear"]


def test_every_reader_has_a_dequantise_of_its_own() -> None:
    model = formed(
        """(float[8] x) => (float y, float u) {
            q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z)
            y = Exp (d) u = Neg (d)
        }""",
        **BYTE,
    )
    assert operators(model).count("DequantizeLinear") == 2


def test_weights_of_integer_kernels_stay_integers_and_others_do_not() -> None:
    weight = {"w": np.arange(-32, 32, dtype=np.int8).reshape(4, 4, 2, 2), "ws": np.float32([0.1, 0.2, 0.3, 0.4])}
    text = """(float[1,4,6,6] x) => (float y) {
        q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z)
        v = DequantizeLinear <axis = 0> (w, ws, wz)
        y = Conv (SOURCE, v)
    }"""
    zero = np.zeros(4, np.int8)
    model = formed(text.replace("SOURCE", "d"), **BYTE, **weight, wz=zero)
    assert operators(model).count("DequantizeLinear") == 2
    model = formed(text.replace("SOURCE", "x"), **BYTE, **weight, wz=zero)
    assert operators(model) == ["Conv"]
    assert model.graph.initializers["v"].dtype == ir.DataType.FLOAT


def test_gemm_with_transposed_integer_weights_becomes_a_product_of_integers() -> None:
    model = formed(
        """(float[3,8] x) => (float y) {
            q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z)
            v = DequantizeLinear <axis = 0> (w, ws, wz)
            y = Gemm <transB = 1> (d, v, b)
        }""",
        **BYTE,
        w=np.arange(-20, 20, dtype=np.int8).reshape(5, 8),
        ws=np.float32([0.1, 0.2, 0.3, 0.4, 0.5]),
        wz=np.zeros(5, np.int8),
        b=draw(5),
    )
    assert "Transpose" not in operators(model)
    (product,) = [node for node in model.graph if node.op_type == "MatMul"]
    weight = product.inputs[1]
    assert weight is not None
    source = weight.producer()
    assert source is not None
    assert source.inputs[0] is not None
    assert source.inputs[0].shape == (8, 5)


def test_float_weights_that_are_quantised_in_the_model_become_integers() -> None:
    model = formed(
        """(float[1,4,6,6] x) => (float y) {
            q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z)
            k = QuantizeLinear <axis = 0> (w, ws, wz) v = DequantizeLinear <axis = 0> (k, ws, wz)
            y = Conv (d, v)
        }""",
        **BYTE,
        w=draw(4, 4, 1, 1),
        ws=np.float32([0.01, 0.02, 0.03, 0.04]),
        wz=np.zeros(4, np.int8),
    )
    assert model.graph.initializers["k"].dtype == ir.DataType.INT8


def test_a_model_in_float32_is_left_alone() -> None:
    assert operators(formed("(float[8] x) => (float y) { y = Exp (x) }")) == ["Exp"]
