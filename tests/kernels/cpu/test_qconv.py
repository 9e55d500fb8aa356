"""Quantised convolutions of every shape, on every way to make dot products: equal to exact sums, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked, Halo
from hetpart.kernels.cpu import qconv, qdepthwise
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import QConvSpec, Rounding
from tests.kernels.cpu.conftest import RunKernel
from tests.kernels.cpu.quantised import HOST, ISAS, by_onnxruntime, convolved

NO_HALO = Halo()
HALO = Halo(1, 2, 1, 1)


@pytest.fixture(scope="session")
def isa(request: pytest.FixtureRequest) -> Isa:
    """One of the ways to make dot products that this machine has."""
    return ISAS[getattr(request, "param", "host")]


def spec_of(
    c: int, out_c: int, size: tuple[int, int], kernel: tuple[int, int], *, n: int = 1, block: int = 16, pad: int = 0,
    strides: tuple[int, int] = (1, 1), dilations: tuple[int, int] = (1, 1), group: int = 1, out_halo: Halo = NO_HALO,
    dtype: str = "uint8", x_block: int | None = None, real: bool = False, low: int | None = None,
) -> QConvSpec:  # fmt: skip
    """A convolution with equal pads on all sides and an input halo that just suffices."""
    out = [
        (s + 2 * pad - (k - 1) * d - 1) // t + 1 for s, k, d, t in zip(size, kernel, dilations, strides, strict=True)
    ]
    base = 0 if dtype == "uint8" else -128
    spare = -kernel[1] % 4 if group == c and dilations[1] == 1 else 0
    x = Blocked(n, c, *size, x_block or block, Halo(pad, pad, pad, pad + spare), dtype, base + 100)
    y = None if real else Rounding(base + 40, base if low is None else low, base + 255)
    result = Blocked(n, out_c, out[0], out[1], block, out_halo, "float32" if real else dtype, 0 if real else base + 40)
    return QConvSpec(x, result, kernel, strides, dilations, (pad,) * 4, group, y)


def data(spec: QConvSpec, extreme: bool = False) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    limits = np.iinfo(spec.x.dtype)
    depth = spec.x.c // spec.group * spec.kernel[0] * spec.kernel[1]
    if extreme:
        x = np.full(spec.x.shape, limits.max, spec.x.dtype)
        w = rng.choice(np.array([-128, 127], np.int8), (spec.out.c, 1, 1, 1))
        w = np.broadcast_to(w, (spec.out.c, spec.x.c // spec.group, *spec.kernel))
    else:
        x = rng.integers(limits.min, limits.max, spec.x.shape, spec.x.dtype, endpoint=True)
        w = rng.integers(-128, 127, (spec.out.c, spec.x.c // spec.group, *spec.kernel), np.int8, endpoint=True)
    b = rng.integers(-(2**12), 2**12, spec.out.c).astype(np.int32)
    scale = (rng.uniform(0.5, 2, spec.out.c) * 60 / (5500 * np.sqrt(depth))).astype(np.float32)
    return x, {"w": w, "b": b, "scale": scale, "zero_point": np.array(spec.x.fill)}


CASES = {
    "first layer": spec_of(3, 40, (33, 30), (7, 7), strides=(2, 2), pad=3, x_block=4),
    "halo, tails": spec_of(24, 40, (19, 23), (3, 3), pad=1, out_halo=HALO),
    "signed": spec_of(24, 40, (9, 23), (3, 3), pad=1, out_halo=HALO, dtype="int8"),
    "batch, strided": spec_of(32, 64, (9, 10), (3, 3), n=2, pad=1, strides=(2, 2)),
    "1x1 flattened": spec_of(100, 72, (7, 9), (1, 1)),
    "1x1 strided with halo": spec_of(16, 16, (7, 9), (1, 1), strides=(2, 2), out_halo=HALO, dtype="int8"),
    "dilated": spec_of(16, 16, (12, 12), (3, 3), pad=2, dilations=(2, 2)),
    "blocks of 4": spec_of(20, 28, (9, 9), (3, 3), pad=1, block=4, dtype="int8"),
    "blocks of 8": spec_of(20, 28, (9, 9), (3, 3), pad=1, block=8),
    "real result": spec_of(20, 28, (5, 9), (3, 3), pad=1, real=True, out_halo=HALO),
    "relu": spec_of(20, 28, (5, 9), (3, 3), pad=1, low=40),
    "groups of whole blocks": spec_of(64, 64, (9, 9), (3, 3), group=4, pad=1, out_halo=HALO),
    "groups of a quarter block": spec_of(48, 48, (9, 9), (3, 3), group=12, pad=1, dtype="int8"),
    "groups across blocks": spec_of(30, 36, (6, 7), (3, 3), group=3, pad=1, block=8),
    "groups of one and a half blocks": spec_of(24, 72, (6, 7), (3, 3), group=3, pad=1),
    "many in, one out": spec_of(36, 9, (6, 6), (3, 3), group=9, pad=1, block=4),
    "multiplier 2": spec_of(12, 24, (8, 8), (3, 3), group=12, pad=1),
    "depthwise": spec_of(40, 40, (19, 30), (3, 3), group=40, pad=1, out_halo=HALO),
    "depthwise signed, strided, batch": spec_of(
        24, 24, (15, 14), (3, 3), n=2, group=24, pad=1, strides=(2, 2), block=8, dtype="int8"
    ),
    "depthwise 5x5, blocks of 4": spec_of(20, 20, (9, 9), (5, 5), group=20, pad=2, block=4, dtype="int8"),
    "depthwise 7x7 dilated": spec_of(16, 16, (16, 16), (7, 7), group=16, pad=6, dilations=(2, 2)),
    "depthwise 1x9": spec_of(17, 17, (3, 20), (1, 9), group=17),
    "depthwise real": spec_of(17, 17, (3, 20), (2, 2), group=17, real=True),
}  # fmt: skip


ELSEWHERE = ("halo, tails", "signed", "blocks of 4", "blocks of 8", "groups of a quarter block", "depthwise")
PAIRS = [(case, isa) for isa in ISAS for case in (CASES if isa == "host" else ELSEWHERE)]


@pytest.mark.parametrize(("case", "isa"), PAIRS, indirect=["isa"])
def test_equals_the_exact_sums(run_kernel: RunKernel, case: str) -> None:
    spec = CASES[case]
    x, constants = data(spec)
    (result,) = run_kernel(spec, [x], constants, dirty_halo=False)
    want = convolved(spec, x, constants)
    assert want.std() > 1e-3
    np.testing.assert_array_equal(result, want)
    assert qdepthwise.suits(spec) == case.startswith("depthwise")


@pytest.mark.parametrize("isa", ISAS, indirect=True)
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("group", [1, 16])
def test_nothing_saturates_on_the_way(run_kernel: RunKernel, dtype: str, group: int) -> None:
    spec = spec_of(16, 16, (6, 6), (3, 3), group=group, pad=1, dtype=dtype, real=True)
    x, constants = data(spec, extreme=True)
    (result,) = run_kernel(spec, [x], constants, dirty_halo=False)
    np.testing.assert_array_equal(result, convolved(spec, x, constants))


@pytest.mark.parametrize("case", ["halo, tails", "signed", "dilated", "groups of a quarter block", "depthwise"])
def test_equals_onnxruntime(run_kernel: RunKernel, case: str) -> None:
    spec = CASES[case]
    assert spec.y is not None
    x, constants = data(spec)
    x_scale, y_scale = np.float32(0.03), np.float32(0.05)
    w_scale = (constants["scale"] * y_scale / x_scale).astype(np.float32)
    constants["scale"] = x_scale * w_scale / y_scale
    want = by_onnxruntime(
        "QLinearConv",
        {
            "x": x, "x_scale": x_scale, "x_zero": np.array(spec.x.fill, x.dtype), "w": constants["w"],
            "w_scale": w_scale, "w_zero": np.zeros(spec.out.c, np.int8), "y_scale": y_scale,
            "y_zero": np.array(spec.y.zero_point, x.dtype), "b": constants["b"],
        },
        1, kernel_shape=spec.kernel, pads=spec.pads, strides=spec.strides, dilations=spec.dilations, group=spec.group,
    )  # fmt: skip
    (result,) = run_kernel(spec, [x], constants, dirty_halo=False)
    np.testing.assert_array_equal(result, want)


def test_big_layers_have_work_for_four_cores() -> None:
    for spec in (spec_of(64, 64, (56, 56), (3, 3), pad=1), spec_of(512, 2048, (7, 7), (1, 1))):
        assert qconv.extent(spec, HOST) >= 8


def test_broken_layouts_are_refused() -> None:
    good = CASES["halo, tails"]
    for bad in (
        replace(good, x=replace(good.x, halo=Halo())),
        replace(good, x=replace(good.x, dtype="float32")),
        replace(good, y=None),
        replace(good, x=replace(good.x, block=2)),
        replace(CASES["depthwise"], x=replace(CASES["depthwise"].x, halo=Halo(1, 1, 1, 1))),
    ):
        with pytest.raises(InternalError, match="kernel-"):
            qconv.prim_func(bad, HOST, "kernel")
