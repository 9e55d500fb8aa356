"""Quantised products with constant weights: equal to exact sums, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from hetpart.graph.layout import Plain
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import QDenseSpec, Rounding
from tests.kernels.cpu.conftest import RunKernel
from tests.kernels.cpu.quantised import ISAS, by_onnxruntime, multiplied


@pytest.fixture(scope="session")
def isa(request: pytest.FixtureRequest) -> Isa:
    """One of the ways to make dot products that this machine has."""
    return ISAS[getattr(request, "param", "host")]


def spec_of(m: int, k: int, n: int, dtype: str = "uint8", real: bool = False) -> QDenseSpec:
    low = int(np.iinfo(dtype).min)
    y = None if real else Rounding(low + 90, low, low + 255)
    return QDenseSpec(Plain((m, k), dtype), Plain((m, n), "float32" if real else dtype), m, k, n, y)


def data(spec: QDenseSpec) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    limits = np.iinfo(spec.x.dtype)
    x = rng.integers(limits.min, limits.max, spec.x.shape, spec.x.dtype, endpoint=True)
    w = rng.integers(-128, 127, (spec.k, spec.n), np.int8, endpoint=True)
    b = rng.integers(-(2**12), 2**12, spec.n).astype(np.int32)
    scale = (rng.uniform(0.5, 2, spec.n) * 60 / (5500 * np.sqrt(spec.k))).astype(np.float32)
    return x, {"w": w, "b": b, "scale": scale, "zero_point": np.array(limits.min + 77)}


CASES = {
    "one row": spec_of(1, 512, 1000),
    "one row, signed": spec_of(1, 64, 40, "int8"),
    "rows": spec_of(37, 48, 64),
    "all tails": spec_of(7, 31, 45, "int8"),
    "narrow": spec_of(3, 5, 3),
    "deep": spec_of(2, 3, 17, "int8"),
    "large weights": spec_of(5, 1024, 600),
    "real": spec_of(6, 30, 21, real=True),
}


ELSEWHERE = ("one row", "all tails")
PAIRS = [(case, isa) for isa in ISAS for case in (CASES if isa == "host" else ELSEWHERE)]


@pytest.mark.parametrize(("case", "isa"), PAIRS, indirect=["isa"])
def test_equals_the_exact_sums(run_kernel: RunKernel, case: str) -> None:
    spec = CASES[case]
    x, constants = data(spec)
    (result,) = run_kernel(spec, [x], constants)
    np.testing.assert_array_equal(result, multiplied(spec, x, constants))


def test_equals_onnxruntime(run_kernel: RunKernel) -> None:
    spec = spec_of(4, 50, 30)
    assert spec.y is not None
    x, constants = data(spec)
    x_scale, y_scale = np.float32(0.03), np.float32(0.05)
    w_scale = (constants["scale"] * y_scale / x_scale).astype(np.float32)
    constants["scale"] = x_scale * w_scale / y_scale
    want = by_onnxruntime(
        "QGemm",
        {
            "x": x, "x_scale": x_scale, "x_zero": np.array(constants["zero_point"], x.dtype), "w": constants["w"],
            "w_scale": w_scale, "w_zero": np.zeros(spec.n, np.int8), "b": constants["b"], "y_scale": y_scale,
            "y_zero": np.array(spec.y.zero_point, x.dtype),
        },
        1, domain="com.microsoft",
    )  # fmt: skip
    (result,) = run_kernel(spec, [x], constants)
    np.testing.assert_array_equal(result, want)
