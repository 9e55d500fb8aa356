"""Pooling of quantised maps against onnxruntime's operators, and the float32 kernels' way of taking integers."""

from __future__ import annotations

import numpy as np
import pytest

from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked, Halo, Plain
from hetpart.kernels.cpu import pool, qpool
from hetpart.kernels.spec import PoolSpec, QPoolSpec, RepackSpec, Rounding
from tests.kernels.cpu.conftest import RunKernel
from tests.kernels.cpu.quantised import HOST, by_onnxruntime

HALO = Halo(1, 2, 1, 1)


def spec_of(
    dtype: str, size: tuple[int, int], kernel: tuple[int, int], mode: str = "average", pad: int = 0,
    strides: tuple[int, int] = (1, 1), include_pad: bool = False, scales: tuple[float, float] = (1.0, 1.0),
) -> QPoolSpec:  # fmt: skip
    low = int(np.iinfo(dtype).min)
    out = [(s + 2 * pad - k) // t + 1 for s, k, t in zip(size, kernel, strides, strict=True)]
    return QPoolSpec(
        Blocked(1, 20, *size, 16, Halo(), dtype), Blocked(1, 20, out[0], out[1], 16, HALO, dtype, low + 40), mode,
        kernel, strides, (1, 1), (pad,) * 4, include_pad, low + 100, scales, Rounding(low + 40, low, low + 255),
    )  # fmt: skip


def values(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.random.default_rng(0).integers(limits.min, limits.max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("scales", [(0.02, 0.02), (0.02, 0.01), (0.0213, 0.0094)])
def test_global_average_equals_onnxruntime(run_kernel: RunKernel, scales: tuple[float, float], dtype: str) -> None:
    x_scale, y_scale = (np.float32(s) for s in scales)
    spec = spec_of(dtype, (7, 9), (7, 9), mode="sum", scales=(float(x_scale), float(y_scale)))
    x = values(spec.x.shape, dtype)
    zero = [np.array(z).astype(dtype) for z in (spec.zero_point, spec.y.zero_point)]
    inputs = {"x": x, "xs": x_scale, "xz": zero[0], "ys": y_scale, "yz": zero[1]}
    want = by_onnxruntime("QLinearGlobalAveragePool", inputs, 1, domain="com.microsoft", channels_last=0)
    (result,) = run_kernel(spec, [x])
    np.testing.assert_array_equal(result, want)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("include_pad", [False, True])
@pytest.mark.parametrize(("strides", "pad"), [((1, 1), 1), ((2, 2), 0), ((2, 1), 1)])
def test_average_equals_onnxruntime(
    run_kernel: RunKernel, strides: tuple[int, int], pad: int, include_pad: bool, dtype: str
) -> None:
    x_scale, y_scale = np.float32(0.0213), np.float32(0.0094)
    both = float(x_scale), float(y_scale)
    spec = spec_of(dtype, (10, 11), (3, 3), pad=pad, strides=strides, include_pad=include_pad, scales=both)
    x = values(spec.x.shape, dtype)
    zero = [np.array(z).astype(dtype) for z in (spec.zero_point, spec.y.zero_point)]
    inputs = {"x": x, "xs": x_scale, "xz": zero[0], "ys": y_scale, "yz": zero[1]}
    want = by_onnxruntime(
        "QLinearAveragePool", inputs, 1, domain="com.microsoft",
        kernel_shape=spec.kernel, strides=strides, pads=spec.pads, count_include_pad=int(include_pad),
    )  # fmt: skip
    (result,) = run_kernel(spec, [x])
    np.testing.assert_array_equal(result, want)


def test_global_maximum_takes_another_scheme(run_kernel: RunKernel) -> None:
    spec = spec_of("uint8", (5, 6), (5, 6), mode="max", scales=(0.5, 1.0))
    x = values(spec.x.shape, "uint8") // 2
    (result,) = run_kernel(spec, [x])
    want = np.clip(np.rint((x.max((2, 3)).astype(np.float64) - 100) * 0.5) + 40, 0, 255)
    np.testing.assert_array_equal(result[:, :, 0, 0], want)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_maximum_of_integers_as_they_are(run_kernel: RunKernel, dtype: str) -> None:
    x = values((1, 20, 9, 8), dtype)
    form, out = Blocked(1, 20, 9, 8, 16, HALO, dtype, 7), Blocked(1, 20, 5, 4, 16, HALO, dtype, 7)
    spec = PoolSpec(form, out, "max", (3, 3), (2, 2), (1, 1), (1, 1, 1, 1))
    (result,) = run_kernel(spec, [x])
    want = by_onnxruntime("MaxPool", {"x": x}, 1, kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    np.testing.assert_array_equal(result, want)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_layouts_of_integers_change(run_kernel: RunKernel, dtype: str) -> None:
    x = values((1, 21, 9, 8), dtype)
    blocked = Blocked(1, 21, 9, 8, 16, HALO, dtype, 9)
    for spec in (
        RepackSpec(Plain(x.shape, dtype), blocked),
        RepackSpec(blocked, Plain(x.shape, dtype)),
        RepackSpec(blocked, Blocked(1, 21, 9, 8, 16, Halo(), dtype)),
    ):
        (result,) = run_kernel(spec, [x])
        np.testing.assert_array_equal(result, x)


def test_broken_layouts_are_refused() -> None:
    real = Blocked(1, 20, 5, 5, 16)
    integer = Blocked(1, 20, 5, 5, 16, Halo(), "uint8")
    with pytest.raises(InternalError, match="kernel-layout"):
        pool.prim_func(PoolSpec(real, integer, "max", (1, 1)), HOST, "kernel")
    with pytest.raises(InternalError, match="kernel-layout"):
        pool.prim_func(PoolSpec(integer, integer, "average", (1, 1)), HOST, "kernel")
    spec = QPoolSpec(
        real, integer, "average", (1, 1), (1, 1), (1, 1), (0,) * 4, False, 0, (1.0, 1.0), Rounding(0, 0, 255)
    )  # fmt: skip
    with pytest.raises(InternalError, match="kernel-layout"):
        qpool.prim_func(spec, HOST, "kernel")
