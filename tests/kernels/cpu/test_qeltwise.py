"""Quantising, dequantising and elementwise steps between quantised tensors, against onnxruntime's operators."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hetpart.errors import InternalError
from hetpart.graph.epilogue import Step
from hetpart.graph.evaluate import apply_steps
from hetpart.graph.layout import Blocked, Halo, Plain
from hetpart.kernels.cpu import qeltwise
from hetpart.kernels.spec import QEltwiseSpec, Rounding
from tests.kernels.cpu.conftest import RunKernel
from tests.kernels.cpu.quantised import HOST, by_onnxruntime

HALO = Halo(1, 2, 1, 1)
ADD, MUL = (Step("add", operand=0),), (Step("mul", operand=0),)


def every_pair(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    values = np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype)
    return np.repeat(values, 256).reshape(1, 16, 64, 64), np.tile(values, 256).reshape(1, 16, 64, 64)


def limits(dtype: str, zero_point: int) -> Rounding:
    return Rounding(zero_point, int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("blocked", [True, False])
@pytest.mark.parametrize("op", ["Add", "Mul"])
@pytest.mark.parametrize("scales", [(0.02, 0.02, 0.04), (0.013, 0.031, 0.027)])
def test_every_pair_equals_onnxruntime(
    run_kernel: RunKernel, op: str, scales: tuple[float, float, float], blocked: bool, dtype: str
) -> None:
    a, b = every_pair(dtype)
    a_scale, b_scale, scale = (np.float32(s) for s in scales)
    zero = [np.array(z + int(np.iinfo(dtype).min)).astype(dtype) for z in (120, 131, 119)]
    form = Blocked(*a.shape, 16, dtype=dtype) if blocked else Plain(a.shape, dtype)
    out = replace(form, halo=HALO, fill=int(zero[2])) if isinstance(form, Blocked) else form
    schemes = ((float(a_scale), int(zero[0])), (float(b_scale), int(zero[1])))
    steps = ADD if op == "Add" else MUL
    spec = QEltwiseSpec(form, out, steps, (form,), schemes, float(scale), limits(dtype, int(zero[2])))
    (result,) = run_kernel(spec, [a, b])
    inputs = {"a": a, "as": a_scale, "az": zero[0], "b": b, "bs": b_scale, "bz": zero[1], "s": scale, "z": zero[2]}
    want = by_onnxruntime(f"QLinear{op}", inputs, 2, domain="com.microsoft")
    np.testing.assert_array_equal(result, want)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("shape", [(1, 20, 7, 9), (37,), (3, 5)])
def test_quantise_and_dequantise_equal_onnxruntime(run_kernel: RunKernel, shape: tuple[int, ...], dtype: str) -> None:
    scale, zero = np.float32(0.037), np.array(3 + np.iinfo(dtype).min + 100).astype(dtype)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32) * 4
    flat = x.reshape(-1)
    flat[:4] = np.inf, -np.inf, 2.5 * scale, -1e30
    blocked = len(shape) == 4
    real = Blocked(*shape, 16) if blocked else Plain(shape)
    integer = Blocked(*shape, 16, HALO, dtype, int(zero)) if blocked else Plain(shape, dtype)
    spec = QEltwiseSpec(real, integer, (), (), (None,), float(scale), limits(dtype, int(zero)))
    (stored,) = run_kernel(spec, [x])
    inputs = {"x": x.reshape(1, -1), "s": scale, "z": zero}
    np.testing.assert_array_equal(stored.reshape(1, -1), by_onnxruntime("QuantizeLinear", inputs, 1))
    spec = QEltwiseSpec(integer, real, (), (), ((float(scale), int(zero)),))
    (back,) = run_kernel(spec, [stored])
    inputs = {"x": stored.reshape(1, -1), "s": scale, "z": zero}
    np.testing.assert_array_equal(back.reshape(1, -1), by_onnxruntime("DequantizeLinear", inputs, 1))


def test_another_scheme_equals_onnxruntime(run_kernel: RunKernel) -> None:
    x = np.arange(256, dtype=np.uint8).reshape(1, 256)
    for scale, other in ((0.02, 0.04), (0.013, 0.0071), (0.05, 0.05)):
        source, target = np.float32(scale), np.float32(other)
        plain = Plain(x.shape, "uint8")
        spec = QEltwiseSpec(plain, plain, (), (), ((float(source), 100),), float(target), limits("uint8", 90))
        (result,) = run_kernel(spec, [x])
        inputs = {"s": target, "z": np.uint8(90), "x": x, "xs": source, "xz": np.uint8(100)}
        want = by_onnxruntime("QLinearConcat", inputs, 1, domain="com.microsoft", axis=1)
        np.testing.assert_array_equal(result, want)


@pytest.mark.parametrize("shape", [(1, 20, 1, 1), (1, 20, 7, 9), (1, 1, 7, 9)])
def test_steps_on_real_numbers_are_off_by_one_at_most(run_kernel: RunKernel, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, operand = (rng.integers(0, 256, s).astype(np.uint8) for s in ((1, 20, 7, 9), shape))
    steps = (Step("sigmoid"), Step("sub", operand=0), Step("clip", (-1.0, 1.0)))
    form = Blocked(1, 20, 7, 9, 16, Halo(), "uint8")
    other = Blocked(*shape, 16, Halo(), "uint8")
    out = replace(form, halo=HALO, fill=128)
    spec = QEltwiseSpec(form, out, steps, (other,), ((0.03, 128), (0.01, 30)), 1 / 127, limits("uint8", 128))
    (result,) = run_kernel(spec, [x, operand])
    real = [(array.astype(np.float64) - zero) * scale for array, zero, scale in ((x, 128, 0.03), (operand, 30, 0.01))]
    want = np.clip(np.rint(apply_steps(real[0], steps, real[1:]) * 127) + 128, 0, 255)
    assert np.abs(result - want).max() <= 1
    assert np.mean(result != want) < 1e-2
    assert want.std() > 10


def test_broken_layouts_are_refused() -> None:
    plain = Plain((4,), "uint8")
    for bad in (
        QEltwiseSpec(plain, Blocked(1, 4, 1, 1, 4), (), (), ((1.0, 0),)),
        QEltwiseSpec(Plain((4,), "int32"), plain, (), (), ((1.0, 0),), 1.0, limits("uint8", 0)),
        QEltwiseSpec(plain, plain, (), (), (), 1.0, limits("uint8", 0)),
    ):
        with pytest.raises(InternalError, match="kernel-layout"):
            qeltwise.prim_func(bad, HOST, "kernel")
