"""Convolutions of every shape against float64, on hostile memory (see conftest)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetpart.errors import InternalError
from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Blocked, Halo
from hetpart.kernels.cpu import conv
from hetpart.kernels.cpu.build import host_isa
from hetpart.kernels.cpu.conv_choice import forced
from hetpart.kernels.cpu.conv_plan import ConvPlan, estimate, flattened
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import ConvSpec
from tests.kernels.cpu.conftest import RunKernel
from tests.kernels.cpu.reference import TOLERANCE, convolution
from tests.numerics import relative_error

HOST = host_isa()
NO_HALO = Halo()
NARROWER = replace(HOST, lanes=HOST.lanes // 2, registers=16)


@pytest.fixture(scope="session", params=[HOST, NARROWER], ids=["host", "narrower"])
def isa(request: pytest.FixtureRequest) -> Isa:
    """The host, and its tiles for half as many lanes and 16 registers."""
    return request.param


def data(spec: ConvSpec, seed: int = 0) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)

    def array(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    constants = {"w": array(spec.out.c, spec.x.c // spec.group, *spec.kernel)}
    if spec.bias:
        constants["b"] = array(spec.out.c)
    return [array(*layout.shape) for layout in (spec.x, *spec.operands)], constants


def check(run_kernel: RunKernel, spec: ConvSpec) -> None:
    inputs, constants = data(spec)
    (result,) = run_kernel(spec, inputs, constants, dirty_halo=False)
    assert relative_error(result, convolution(spec, inputs, constants)) < TOLERANCE


def spec_of(
    c: int, out_c: int, size: tuple[int, int], kernel: tuple[int, int], *, n: int = 1, block: int = 16, pad: int = 0,
    strides: tuple[int, int] = (1, 1), dilations: tuple[int, int] = (1, 1), group: int = 1, out_halo: Halo = NO_HALO,
    steps: tuple[Step, ...] = (), x_block: int | None = None,
) -> ConvSpec:  # fmt: skip
    """A convolution with equal pads on all sides and an input halo that just suffices."""
    out = [
        (s + 2 * pad - (k - 1) * d - 1) // t + 1 for s, k, d, t in zip(size, kernel, dilations, strides, strict=True)
    ]
    x = Blocked(n, c, *size, x_block or block, Halo(pad, pad, pad, pad))
    return ConvSpec(
        x,
        Blocked(n, out_c, out[0], out[1], block, out_halo),
        kernel,
        strides,
        dilations,
        (pad,) * 4,
        group,
        True,
        steps,
    )


RELU = (Step("relu"),)
CASES = {
    "first layer": spec_of(3, 40, (33, 30), (7, 7), strides=(2, 2), pad=3, x_block=3, steps=RELU),
    "first layer, blocked": spec_of(3, 16, (20, 20), (3, 3), strides=(2, 2), pad=1),
    "rows outer, halo": spec_of(32, 64, (19, 23), (3, 3), pad=1, out_halo=Halo(1, 2, 3, 1)),
    "flat": spec_of(64, 80, (13, 13), (1, 1), n=2, steps=RELU),
    "flat with a channel tail": spec_of(70, 24, (9, 11), (1, 1), block=8),
    "chunks with a channel tail": spec_of(262, 70, (15, 15), (3, 3), pad=1, out_halo=Halo(1, 1, 1, 1), steps=RELU),
    "chunks, strided": spec_of(520, 200, (21, 21), (1, 1), strides=(2, 2), n=2),
    "weights stream": spec_of(300, 330, (5, 7), (3, 3), pad=1, steps=(Step("silu"),)),
    "one pixel": spec_of(33, 65, (1, 1), (1, 1)),
    "one row, one channel": spec_of(1, 1, (1, 40), (1, 5), pad=0),
    "dilated": spec_of(20, 36, (18, 17), (3, 2), dilations=(3, 4), pad=2, block=4),
    "aligned groups": spec_of(32, 64, (10, 12), (3, 3), group=2, pad=1),
    "groups that start inside a block": spec_of(36, 48, (9, 9), (3, 3), group=3, pad=1, out_halo=Halo(0, 1, 1, 0)),
    "narrow block": spec_of(10, 12, (14, 14), (3, 3), block=4, pad=1),
}


@pytest.mark.parametrize("case", CASES)
def test_shapes(run_kernel: RunKernel, case: str) -> None:
    check(run_kernel, CASES[case])


@st.composite
def specs(draw: st.DrawFn) -> ConvSpec:
    """Any convolution: groups of any width, any geometry, halos wider than needed, operands that broadcast."""
    block = draw(st.sampled_from([4, 8, 16]))
    group = draw(st.sampled_from([1, 1, 1, 2, 3, 8]))
    c, out_c = group * draw(st.integers(1, 20)), group * draw(st.integers(1, 20))
    axes = []
    for _ in range(2):
        size, taps = draw(st.integers(1, 17)), draw(st.integers(1, 4))
        stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        before, after = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        room = size + before + after - (taps - 1) * dilation - 1
        if room < 0:
            after, room = after - room, 0
        out = room // stride + 1
        reach = (out - 1) * stride + (taps - 1) * dilation + 1 - before - size
        axes.append((size, taps, stride, dilation, before, after, out, max(0, reach)))
    rows, columns = axes
    n = draw(st.integers(1, 2))
    extra = st.integers(0, 1)
    halo = Halo(rows[4] + draw(extra), columns[4] + draw(extra), rows[7] + draw(extra), columns[7] + draw(extra))
    x_block = c if group == 1 and c < block and draw(st.booleans()) else block
    x = Blocked(n, c, rows[0], columns[0], x_block, halo)
    halos = st.builds(Halo, *[st.integers(0, 2)] * 4)
    out = Blocked(n, out_c, rows[6], columns[6], block, draw(halos))
    operands = tuple(
        Blocked(*(draw(st.sampled_from([1, size])) for size in out.shape), block, draw(halos))
        for _ in range(draw(st.integers(0, 2)))
    )
    steps: list[Step] = [Step("mul", operand=i, reverse=draw(st.booleans())) for i in range(len(operands))]
    steps.insert(draw(st.integers(0, len(steps))), draw(st.sampled_from([Step("relu"), Step("clip", (-1.0, 2.0))])))
    return ConvSpec(
        x,
        out,
        (rows[1], columns[1]),
        (rows[2], columns[2]),
        (rows[3], columns[3]),
        (rows[4], columns[4], rows[5], columns[5]),
        group,
        draw(st.booleans()),
        tuple(steps),
        operands,
    )


@settings(max_examples=12, deadline=None, derandomize=True)
@given(spec=specs())
def test_any_convolution(run_kernel: RunKernel, spec: ConvSpec) -> None:
    check(run_kernel, spec)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(spec=specs())
def test_many_convolutions(run_kernel: RunKernel, spec: ConvSpec) -> None:
    check(run_kernel, spec)


def test_residual_is_added_and_may_be_scalar(run_kernel: RunKernel) -> None:
    spec = spec_of(16, 24, (6, 6), (3, 3), pad=1, block=8)
    residual, scalar = Blocked(1, 24, 6, 6, 8, Halo(0, 2, 0, 1)), Blocked(1, 1, 1, 1, 8)
    steps = (Step("add", operand=0), Step("sub", operand=1, reverse=True))
    check(run_kernel, replace(spec, steps=steps, operands=(residual, scalar)))


def test_lanes_of_other_channels_do_not_leak_infinities(run_kernel: RunKernel) -> None:
    """Zero weights in place of groups would turn another group's infinity into NaN."""
    spec = spec_of(24, 24, (5, 5), (1, 1), group=2)
    inputs, constants = data(spec)
    inputs[0][:, 12:] = np.inf
    constants["w"][12:] = 1.0
    (result,) = run_kernel(spec, inputs, constants, dirty_halo=False)
    assert np.isfinite(result[:, :12]).all()
    assert np.isposinf(result[:, 12:]).all()


def test_big_layers_can_be_shared_by_four_cores() -> None:
    layers = (64, 64, 56, 3), (64, 256, 56, 1), (256, 256, 14, 3), (512, 512, 7, 3), (2048, 512, 7, 1)
    for c, out_c, size, kernel in layers:
        spec = spec_of(c, out_c, (size, size), (kernel, kernel), pad=kernel // 2)
        assert conv.extent(spec, replace(HOST, mcpu="untuned")) >= 8


def test_flattening_needs_equal_bytes() -> None:
    spec = spec_of(16, 16, (4, 6), (1, 1))
    assert flattened(spec).out.shape == (1, 16, 24, 1)
    assert flattened(replace(spec, out=replace(spec.out, halo=Halo(1)))).out.shape == (1, 16, 4, 6)
    per_row = replace(spec, steps=(Step("add", operand=0),), operands=(Blocked(1, 16, 4, 1, 16),))
    assert flattened(per_row) == per_row


def test_order_follows_the_size_of_the_weights() -> None:
    small, large = spec_of(32, 64, (56, 56), (3, 3), pad=1), spec_of(512, 512, (14, 14), (3, 3), pad=1)
    assert not estimate(small, HOST).channels_outer
    assert ConvPlan.of(small, estimate(small, HOST)).chunks == 1
    assert estimate(large, HOST).channels_outer
    assert ConvPlan.of(large, estimate(large, HOST)).chunks > 1


def test_pointwise_layers_ask_for_the_next_weights_while_the_pixels_pass_by(run_kernel: RunKernel) -> None:
    isa = replace(HOST, mcpu="untuned", l2_bytes=2 << 20)
    for spec in (spec_of(520, 250, (9, 11), (1, 1)), spec_of(520, 250, (9, 11), (1, 1), out_halo=Halo(1, 1, 1, 1))):
        choice = estimate(spec, isa)
        plan = ConvPlan.of(spec, choice)
        assert choice.channels_outer
        assert plan.chunks > 1
        assert plan.prefetches_next
        with forced(choice):
            check(run_kernel, spec)
    assert not estimate(spec_of(520, 250, (56, 56), (1, 1)), isa).channels_outer  # the input would be read again


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"x": Blocked(1, 16, 6, 6, 16)}, "kernel-halo"),
        ({"out": Blocked(2, 16, 6, 6, 16)}, "kernel-layout"),
        ({"group": 3}, "kernel-layout"),
        ({"operands": (Blocked(1, 16, 3, 6, 16),)}, "kernel-layout"),
        ({"operands": (Blocked(1, 16, 6, 6, 8),)}, "kernel-layout"),
    ],
)
def test_broken_contracts_are_refused(changes: dict[str, object], code: str) -> None:
    spec = replace(spec_of(16, 16, (6, 6), (3, 3), pad=1), **changes)
    with pytest.raises(InternalError) as caught:
        conv.prim_func(spec, HOST, "kernel")
    assert caught.value.code == code
