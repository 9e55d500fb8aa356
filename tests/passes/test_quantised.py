"""Which quantised units there are, and what they compute: the same as onnxruntime's integer operators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from hetpart.build import build
from hetpart.compiler import Options
from hetpart.graph.quantised import Scheme
from hetpart.graph.units import Unit, UnitGraph
from hetpart.passes.fuse import fuse
from hetpart.passes.pipeline import optimisation_level, run_pipeline
from tests.passes.support import draw, parse

S, Z = np.float32(0.02), np.uint8(120)
BYTE = {"s": S, "z": Z, "s2": np.float32(0.05), "z2": np.uint8(99)}
rng = np.random.default_rng(0)
WEIGHT = {
    "w": rng.integers(-127, 128, (8, 4, 3, 3)).astype(np.int8),
    "ws": rng.uniform(0.001, 0.004, 8).astype(np.float32),
    "wz": np.zeros(8, np.int8),
}
BIAS = {"b": rng.integers(-500, 500, 8).astype(np.int32), "bs": S * WEIGHT["ws"]}
CONV = """(float[1,4,6,6] x) => (float y) {
    q = QuantizeLinear (x, s, z)  d = DequantizeLinear (q, s, z)
    v = DequantizeLinear <axis = 0> (w, ws, wz)
    bf = DequantizeLinear <axis = 0> (b, bs)
    c = Conv <pads = [1, 1, 1, 1]> (d, v, bf)
    MIDDLE
    r = QuantizeLinear (m, s2, z2) y = DequantizeLinear (r, s2, z2)
}"""


def units(text: str, level: str = "O1", **constants: np.ndarray) -> UnitGraph:
    model = parse(text, **constants)
    run_pipeline(model, optimisation_level(level), verify_each=True)
    graph = fuse(model, epilogues=level != "O0")
    nodes = [node for unit in graph for node in unit.nodes]
    assert len(nodes) == len(set(nodes))
    assert set(nodes) == set(graph.model.graph)
    return graph


def only(graph: UnitGraph, kind: str) -> Unit:
    (unit,) = [unit for unit in graph if unit.kind == kind]
    assert unit.quantised is not None
    return unit


@pytest.mark.parametrize("level", ["O0", "O1"])
@pytest.mark.parametrize(
    ("middle", "low", "high"),
    [
        ("m = Identity (c)", 0, 255),
        ("m = Relu (c)", 99, 255),
        ("m = Clip (c, lo, hi)", 99, 219),
        ("n = Relu (c) m = Clip (n, , hi)", 99, 219),
    ],
)
def test_a_convolution_with_its_bounds_is_one_unit(middle: str, low: int, high: int, level: str) -> None:
    bounds = {"lo": np.float32(0), "hi": np.float32(6)}
    used = bounds if "Clip (c" in middle else {"hi": bounds["hi"]} if "hi" in middle else {}
    graph = units(CONV.replace("MIDDLE", middle), level, **BYTE, **WEIGHT, **BIAS, **used)
    assert [unit.kind for unit in graph] == ["qeltwise", "qconv", "qeltwise"]
    unit = only(graph, "qconv")
    assert unit.quantised is not None
    assert (unit.quantised.low, unit.quantised.high) == (low, high)
    assert unit.quantised.inputs == (Scheme(float(S), 120, "uint8"),)
    assert unit.quantised.output == Scheme(float(np.float32(0.05)), 99, "uint8")
    assert unit.op.startswith("Conv")
    assert unit.op.endswith("(int8)")
    assert (unit.inputs, unit.outputs) == (("q",), ("r",))
    weights = unit.quantised.weights
    assert weights is not None
    np.testing.assert_array_equal(weights.bias, BIAS["b"])


def test_a_float_bias_is_quantised() -> None:
    text = CONV.replace("bf = DequantizeLinear <axis = 0> (b, bs)", "").replace("MIDDLE", "m = Identity (c)")
    bias = draw(8) / 100
    unit = only(units(text, **BYTE, **WEIGHT, bf=bias), "qconv")
    assert unit.quantised is not None
    assert unit.quantised.weights is not None
    np.testing.assert_array_equal(unit.quantised.weights.bias, np.rint(bias / (S * WEIGHT["ws"]).astype(np.float64)))


def test_a_result_that_is_not_quantised_stays_real() -> None:
    text = CONV.replace("r = QuantizeLinear (m, s2, z2) y = DequantizeLinear (r, s2, z2)", "y = Exp (m)")
    graph = units(text.replace("MIDDLE", "m = Relu (c)"), **BYTE, **WEIGHT, **BIAS)
    unit = only(graph, "qconv")
    assert unit.quantised is not None
    assert unit.quantised.output is None
    assert unit.outputs == ("c",)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"wz": np.full(8, 3, np.int8)}, "zero points that keep weights out of int8"),
        ({"s": np.float32([0.02] * 4), "z": np.uint8([120] * 4)}, "activations along an axis"),
        ({"ws": WEIGHT["ws"] * np.float32([1] * 7 + [-1])}, "a negative scale"),
    ],
)
def test_what_has_no_integer_kernel_is_computed_in_float32(change: dict[str, np.ndarray], why: str) -> None:
    constants = {**BYTE, **WEIGHT, **BIAS, **change}
    graph = units(CONV.replace("MIDDLE", "m = Relu (c)"), **constants)
    kinds = [unit.kind for unit in graph]
    assert "qconv" not in kinds, why
    assert "conv" in kinds


def test_asymmetric_weights_that_fit_are_taken() -> None:
    weight = {"w": (WEIGHT["w"].astype(np.int16) // 2 + 130).astype(np.uint8), "wz": np.full(8, 130, np.uint8)}
    graph = units(CONV.replace("MIDDLE", "m = Relu (c)"), **{**BYTE, **WEIGHT, **BIAS, **weight})
    assert only(graph, "qconv").quantised is not None


def test_elementwise_chains_take_their_conversions_along() -> None:
    graph = units(
        """(float[1,4,6,6] x, float[1,4,1,1] v) => (float y) {
            q = QuantizeLinear (x, s, z)   d = DequantizeLinear (q, s, z)
            p = QuantizeLinear (v, s2, z2) e = DequantizeLinear (p, s2, z2)
            a = HardSigmoid (e) m = Mul (d, a)
            r = QuantizeLinear (m, s, z) y = DequantizeLinear (r, s, z)
        }""",
        **BYTE,
    )
    ops = [unit.op for unit in graph if unit.kind == "qeltwise"]
    assert "Mul (int8)" in ops
    assert {unit.kind for unit in graph} == {"qeltwise"}


def test_one_tensor_under_two_schemes_is_not_confused() -> None:
    graph = units(
        """(float[8] x) => (float y) {
            q = QuantizeLinear (x, s, z)
            d = DequantizeLinear (q, s, z) e = DequantizeLinear (q, s2, z2)
            a = Sub (d, e) m = Mul (a, a)
            r = QuantizeLinear (m, s, z) y = DequantizeLinear (r, s, z)
        }""",
        **BYTE,
    )
    by_scheme = [unit.quantised.inputs for unit in graph if unit.quantised is not None and "Sub" in unit.op]
    assert by_scheme == [(Scheme(float(S), 120, "uint8"), Scheme(float(np.float32(0.05)), 99, "uint8"))]


def test_a_row_that_is_computed_is_no_bias() -> None:
    graph = units(
        """(float[3,8] x, float[5] row) => (float y) {
            q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z)
            v = DequantizeLinear (w, s, wz) m = MatMul (d, v) y = Add (m, row)
        }""",
        **BYTE,
        w=rng.integers(-127, 128, (8, 5)).astype(np.int8),
        wz=np.int8(0),
    )
    assert [unit.kind for unit in graph] == ["qeltwise", "qdense", "eltwise"]


def test_two_convolutions_that_read_one_map_under_two_zero_points_do_not_share_its_halo() -> None:
    graph = units(
        """(float[1,4,6,6] x) => (float y) {
            q = QuantizeLinear (x, s, z)
            d = DequantizeLinear (q, s, z) e = DequantizeLinear (q, s, z2)
            v = DequantizeLinear <axis = 0> (w, ws, wz)
            c = Conv <pads = [1, 1, 1, 1]> (d, v) t = Conv <pads = [1, 1, 1, 1]> (e, v)
            y = Add (c, t)
        }""",
        **{name: BYTE[name] for name in ("s", "z", "z2")},
        **WEIGHT,
    )
    assert [unit.kind for unit in graph].count("qconv") == 1


NETWORKS = {
    "residual": """(float[1,4,6,6] x) => (float y) {
        q = QuantizeLinear (x, s, z)  d = DequantizeLinear (q, s, z)
        v = DequantizeLinear <axis = 0> (w, ws, wz)
        c = Conv <pads = [1, 1, 1, 1]> (d, v) k = QuantizeLinear (c, s2, z2) l = DequantizeLinear (k, s2, z2)
        v2 = DequantizeLinear <axis = 0> (w2, ws, wz)
        c2 = Conv <pads = [1, 1, 1, 1], group = 8> (l, v2)
        k2 = QuantizeLinear (c2, s, z) l2 = DequantizeLinear (k2, s, z)
        a = Add (l2, l) m = Relu (a)
        r = QuantizeLinear (m, s2, z2) t = DequantizeLinear (r, s2, z2)
        g = GlobalAveragePool (t) g2 = QuantizeLinear (g, s, z) g3 = DequantizeLinear (g2, s, z)
        f = Flatten (g3) f2 = QuantizeLinear (f, s, z) f3 = DequantizeLinear (f2, s, z)
        v3 = DequantizeLinear (w3, s, wz0)
        h = Gemm (f3, v3, b3) h2 = QuantizeLinear (h, s2, z2) y = DequantizeLinear (h2, s2, z2)
    }""",
    "concatenation in place": """(float[1,4,6,6] x) => (float y) {
        q = QuantizeLinear (x, s, z)  d = DequantizeLinear (q, s, z)
        v = DequantizeLinear <axis = 0> (w, ws, wz)
        c = Conv <pads = [1, 1, 1, 1]> (d, v) k = QuantizeLinear (c, s2, z2) l = DequantizeLinear (k, s2, z2)
        p = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (l)
        p2 = QuantizeLinear (p, s2, z2) p3 = DequantizeLinear (p2, s2, z2)
        o = Concat <axis = 1> (l, p3) o2 = QuantizeLinear (o, s2, z2) o3 = DequantizeLinear (o2, s2, z2)
        v2 = DequantizeLinear <axis = 0> (w2, ws, wz)
        c2 = Conv <pads = [1, 1, 1, 1], group = 2> (o3, v2)
        r = QuantizeLinear (c2, s, z) y = DequantizeLinear (r, s, z)
    }""",
}


@pytest.mark.parametrize(("target", "dtype"), [("host", np.uint8), ("sd855", np.int8)])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_equal_onnxruntime(name: str, target: str, dtype: type, tmp_path: Path) -> None:
    shift = 128 if dtype == np.int8 else 0
    zeros = {"z": np.array(120 - shift).astype(dtype), "z2": np.array(99 - shift).astype(dtype)}
    other = (8, 1, 3, 3) if name == "residual" else (8, 8, 3, 3)
    constants = {**BYTE, **zeros, **WEIGHT, "w2": rng.integers(-127, 128, other).astype(np.int8)}
    if name == "residual":
        constants |= {"w3": rng.integers(-127, 128, (8, 5)).astype(np.int8), "wz0": np.int8(0), "b3": draw(5)}
    model = ir.to_proto(parse(NETWORKS[name], **constants))
    report = build(model, target, tmp_path / "bundle", Options(), verify="segments")
    assert report.verify["outputs"]["y"] == {"rel_l2": 0.0, "max_abs": 0.0}
    assert any("(int8)" in row.op for row in report.units)
