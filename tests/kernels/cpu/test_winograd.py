"""Winograd's transform: its algebra, its plans, and its kernels on every kind of edge, against float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tvm import tirx

from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Blocked, Halo
from hetpart.kernels.cpu import conv_choice
from hetpart.kernels.cpu.winograd_plan import Winograd, WinogradPlan, estimate
from hetpart.kernels.cpu.winograd_transform import INPUT_PARTS, OUTPUT_PARTS, input_line, output_line
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import ConvSpec
from hetpart.kernels.winograd import OUTPUTS, filter_matrix
from tests.kernels.cpu.conftest import RunKernel
from tests.kernels.cpu.reference import convolution
from tests.numerics import relative_error

NO_HALO = Halo()
A76 = Isa("aarch64-linux-android", "cortex-a76", (), lanes=4, registers=32)
TOLERANCE = {(4, 4): 4e-6, (4, 2): 2e-6, (2, 2): 1e-6}
"""Relative L2 error; the transforms with larger constants round more."""


def spec_of(
    c: int, out_c: int, size: tuple[int, int], *, n: int = 1, block: int = 16, pad: int = 1,
    out_halo: Halo = NO_HALO, steps: tuple[Step, ...] = (), operands: tuple[Blocked, ...] = (), bias: bool = True,
) -> ConvSpec:  # fmt: skip
    h, w = (s + 2 * pad - 2 for s in size)
    x = Blocked(n, c, *size, block, Halo(pad, pad, pad, pad))
    out = Blocked(n, out_c, h, w, block, out_halo)
    return ConvSpec(x, out, (3, 3), pads=(pad,) * 4, bias=bias, steps=steps, operands=operands)


@pytest.mark.parametrize("m", [2, 4])
def test_a_line_is_filtered(m: int) -> None:
    rng = np.random.default_rng(0)
    d, g = rng.standard_normal(m + 2), rng.standard_normal(3)
    units = np.eye(m + 2).tolist()
    b = np.array([_evaluated(input_line, m, unit) for unit in units]).T
    a = np.array([_evaluated(output_line, m, unit) for unit in units]).T
    np.testing.assert_allclose(a @ ((filter_matrix(m) @ g) * (b @ d)), np.convolve(d, g[::-1], "valid"), rtol=1e-12)


def _evaluated(line: Callable[[int, Sequence[Any]], list[Any]], m: int, values: Sequence[float]) -> list[float]:
    """TIR's operators fold constants."""
    return [float(result.value) for result in line(m, [tirx.const(v, "float32") for v in values])]


@pytest.mark.parametrize("m", [2, 4])
def test_parts_hold_every_value_of_a_line_once(m: int) -> None:
    assert sorted(sum(INPUT_PARTS[m], ())) == list(range(m + 2))
    assert sorted(sum(OUTPUT_PARTS[m], ())) == list(range(m))


RESIDUAL = (Step("add", operand=0), Step("relu"))
CASES = {
    "whole patches": spec_of(32, 32, (8, 8)),
    "edges": spec_of(16, 32, (9, 11), out_halo=Halo(1, 2, 0, 3)),
    "one row": spec_of(16, 16, (1, 13)),
    "smaller than a patch": spec_of(16, 16, (3, 3)),
    "no padding": spec_of(16, 16, (10, 9), pad=0),
    "channel tails": spec_of(20, 37, (7, 6), out_halo=Halo(1, 1, 1, 1)),
    "few channels": spec_of(5, 3, (12, 12)),
    "images": spec_of(16, 48, (6, 6), n=2, steps=(Step("relu"),)),
    "no bias, long epilogue": spec_of(16, 16, (6, 7), bias=False, steps=(Step("silu"),)),
    "residual": spec_of(
        16, 16, (6, 9), steps=RESIDUAL, operands=(Blocked(1, 16, 6, 9, 16, Halo(0, 1, 0, 0)),)
    ),
    "blocks of a phone": spec_of(10, 12, (9, 9), block=4, out_halo=Halo(1, 1, 1, 1)),
}  # fmt: skip


@pytest.mark.parametrize("outputs", OUTPUTS)
@pytest.mark.parametrize("name", CASES)
def test_kernel(run_kernel: RunKernel, name: str, outputs: tuple[int, int]) -> None:
    check(run_kernel, CASES[name], outputs)


@pytest.mark.parametrize("name", CASES)
def test_kernel_in_parts(run_kernel: RunKernel, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What an aarch64 gets: the rows of a transform in parts, and inputs as lanes of one load."""
    monkeypatch.setattr(WinogradPlan, "neon", True)
    check(run_kernel, CASES[name], (4, 4))


def check(run_kernel: RunKernel, spec: ConvSpec, outputs: tuple[int, int]) -> None:
    group = 1 if spec.out.blocks % 2 else 2
    choice = Winograd(outputs, 2 if spec.out.h > 2 * outputs[0] else 1, group)
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(layout.shape).astype(np.float32) for layout in (spec.x, *spec.operands)]
    constants = {"w": rng.standard_normal((spec.out.c, spec.x.c, 3, 3)).astype(np.float32)}
    if spec.bias:
        constants["b"] = rng.standard_normal(spec.out.c).astype(np.float32)
    with conv_choice.forced(choice):
        (result,) = run_kernel(spec, inputs, constants, dirty_halo=False)
    assert relative_error(result, convolution(spec, inputs, constants)) < TOLERANCE[outputs]


@given(
    c=st.integers(1, 1100), out_c=st.integers(1, 1100), h=st.integers(1, 230), w=st.integers(1, 230),
    phone=st.booleans(),
)  # fmt: skip
def test_plans_cover_the_layer_and_fit_the_cache(isa: Isa, c: int, out_c: int, h: int, w: int, phone: bool) -> None:
    machine = A76 if phone else isa
    spec = spec_of(c, out_c, (h, w), block=machine.lanes)
    if (choice := estimate(spec, machine)) is None:
        return
    plan = WinogradPlan.of(spec, machine, choice)
    assert plan.group * plan.groups == spec.out.blocks
    assert (plan.bands - 1) * plan.band < plan.patches[0] <= plan.bands * plan.band
    assert plan.columns[-1].stop == plan.band * plan.patches[1] <= plan.stride
    band_bytes = 4 * plan.positions * plan.stride * (c + plan.group * machine.lanes)
    assert plan.band == 1 or band_bytes <= machine.l2_bytes


@pytest.mark.parametrize(
    ("c", "size", "outputs"),
    [(64, 56, (4, 4)), (128, 28, (4, 4)), (256, 14, (4, 2)), (512, 7, (2, 2))],
)
def test_resnets_layers(c: int, size: int, outputs: tuple[int, int]) -> None:
    """Measured best on a Xeon of 2023 with 2 MiB of L2 cache."""
    xeon = Isa("x86_64-linux-gnu", "sapphirerapids", (), lanes=16, registers=32, l2_bytes=2 << 20)
    choice = estimate(spec_of(c, c, (size, size)), xeon)
    assert choice is not None
    assert choice.outputs == outputs


@pytest.mark.parametrize("machine", ["host", "phone"])
def test_pictures_are_convolved_directly(isa: Isa, machine: str) -> None:
    machine_isa = A76 if machine == "phone" else isa
    layers = [spec_of(c, 64, (224, 224), block=machine_isa.lanes) for c in (1, 3, 16)]
    assert [estimate(spec, machine_isa) is None for spec in layers] == [True, True, False]


def test_other_convolutions_are_direct(isa: Isa) -> None:
    x, out = Blocked(1, 64, 28, 28, 16, Halo(1, 1, 1, 1)), Blocked(1, 64, 14, 14, 16)
    assert estimate(ConvSpec(x, out, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1)), isa) is None
    assert estimate(spec_of(8, 8, (2, 2)), isa) is None
