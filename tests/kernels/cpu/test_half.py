"""float16 maps: convolutions add in float16 within the error that their runs promise, all else rounds once."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetpart.errors import HetpartError, InternalError
from hetpart.graph.epilogue import Step
from hetpart.graph.evaluate import apply_steps
from hetpart.graph.layout import Blocked, Halo, Plain
from hetpart.kernels import winograd
from hetpart.kernels.cpu import conv, dense, generator
from hetpart.kernels.cpu.build import assembly, host_isa
from hetpart.kernels.cpu.conv_choice import plan
from hetpart.kernels.cpu.conv_plan import HALF_LONGEST, HALF_RUN, ConvPlan
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import (
    ConvSpec,
    ConvTransposeSpec,
    DenseSpec,
    EltwiseSpec,
    GlobalPoolSpec,
    InstanceNormSpec,
    LayerNormSpec,
    MatmulSpec,
    PadSpec,
    PoolSpec,
    RepackSpec,
    ResizeSpec,
    SoftmaxSpec,
    Spec,
)
from tests.kernels.cpu import reference, test_conv, test_depthwise
from tests.kernels.cpu.conftest import RunKernel
from tests.kernels.cpu.reference import convolution
from tests.numerics import relative_error

HOST = host_isa()
PHONE = Isa("aarch64-linux-android", "cortex-a76", ("+dotprod", "+fullfp16"), lanes=4, registers=32)
WITHOUT = replace(HOST, mattr=tuple(m.replace("+avx512fp16", "-avx512fp16") for m in HOST.mattr))
ROUNDING = 2.0**-11 / math.sqrt(3)
"""Root mean square of a rounding error relative to the number, at most."""


@pytest.fixture(scope="session", params=[HOST, WITHOUT], ids=["host", "no float16 arithmetic"])
def isa(request: pytest.FixtureRequest) -> Isa:
    """The host; and without AVX512-FP16, where LLVM rounds after every operation in float32, as rehearsals need it."""
    return request.param


def half(spec: Spec) -> Any:
    """The same in float16."""
    maps = {
        name: tuple(replace(m, dtype="float16") for m in form) if isinstance(form, tuple) else form
        for name, form in ((name, getattr(spec, name, ())) for name in ("operands",))
        if form
    }
    maps |= {name: replace(getattr(spec, name), dtype="float16") for name in ("x", "out")}
    return replace(spec, **maps)


def bound(spec: ConvSpec) -> float:
    """What random walks of rounding errors add up to: along a run, over the runs; then inputs, weights and storing."""
    chosen = plan(spec, HOST)
    products = math.prod(spec.kernel) * spec.x.c // spec.group
    longest, runs = products, 1
    if conv.depthwise.suits(spec):
        longest = 0 if products > HALF_LONGEST else products
    else:
        assert isinstance(chosen, ConvPlan)
        runs = chosen.runs
        longest = (chosen.run * chosen.reduction.block + chosen.reduction.tail) * chosen.reduction.taps
        longest = 0 if chosen.element == "float32" else longest
    return ROUNDING * math.sqrt(longest / 2 + runs / 2 + 3)


def check(run_kernel: RunKernel, spec: ConvSpec) -> None:
    spec = half(spec)
    inputs, constants = test_conv.data(spec)
    (result,) = run_kernel(spec, inputs, constants, dirty_halo=False)
    assert result.dtype == np.float16
    assert relative_error(result.astype(np.float64), convolution(spec, inputs, constants)) < bound(spec)


LONG = {
    "many runs": test_conv.spec_of(512, 24, (9, 9), (3, 3), block=8, pad=1, out_halo=Halo(1, 1, 1, 1)),
    "many runs, a long epilogue": test_conv.spec_of(1024, 40, (7, 9), (1, 1), block=8, steps=(Step("silu"),)),
    "a block of taps is a run": test_conv.spec_of(40, 16, (12, 12), (7, 7), block=8, pad=3),
    "too many taps for float16": test_conv.spec_of(24, 16, (12, 12), (9, 9), block=8, pad=4),
}


@pytest.mark.parametrize("case", [*test_conv.CASES, *test_depthwise.CASES, *LONG])
def test_convolutions(run_kernel: RunKernel, case: str) -> None:
    check(run_kernel, (test_conv.CASES | test_depthwise.CASES | LONG)[case])


@settings(max_examples=20, deadline=None)
@given(test_conv.specs())
def test_any_convolution_is_near(run_kernel: RunKernel, spec: ConvSpec) -> None:
    spec = half(spec)
    inputs, constants = test_conv.data(spec)
    (result,) = run_kernel(spec, inputs, constants, dirty_halo=False)
    want = convolution(spec, inputs, constants)
    # a few outputs are no statistics, and products with operands amplify: the largest sums are the measure
    size = np.abs(convolution(replace(spec, steps=()), inputs, constants)).max(initial=1.0)
    factor = math.prod(max(1.0, float(np.abs(operand).max())) for operand in inputs[1:])
    assert np.abs(result.astype(np.float64) - want).max() < 8 * bound(spec) * size * factor


def test_runs_are_short_and_even() -> None:
    for c, kernel in ((512, 3), (2048, 1), (100, 5), (24, 7), (3, 7), (8, 1), (1, 1)):
        spec = half(test_conv.spec_of(c, 64, (28, 28), (kernel, kernel), block=8, pad=kernel // 2))
        chosen = plan(spec, PHONE)
        assert isinstance(chosen, ConvPlan)
        assert chosen.element == "float16"
        assert chosen.run * 8 * kernel**2 <= max(128, 8 * kernel**2)
        assert chosen.runs * chosen.run < chosen.reduction.full + chosen.runs or chosen.reduction.full == 0


def test_no_winograd_in_float16() -> None:
    spec = test_conv.spec_of(64, 64, (56, 56), (3, 3), block=8, pad=1)
    assert winograd.applies(spec)
    assert not winograd.applies(half(spec))


@pytest.mark.parametrize("group", [1, 64])
def test_a_phone_multiplies_eight_at_once(group: int) -> None:
    spec = half(
        test_conv.spec_of(64, 64, (28, 28), (3, 3), block=8, pad=1, group=group, steps=(Step("clip", (0.0, 6.0)),))
    )
    lines = assembly([conv.prim_func(spec, PHONE, "kernel")], PHONE).splitlines()
    arithmetic = [line.split() for line in lines if line.startswith("\tf")]
    assert sum(words[0] == "fmla" and words[1].endswith(".8h,") for words in arithmetic) > 20
    assert not any(words[0].startswith(("fcvt", "fcm")) for words in arithmetic)


STEPS = {"bare": (), "short": (Step("add", operand=0), Step("relu")), "long": (Step("add", operand=0), Step("gelu"))}


@pytest.mark.parametrize(("m", "k", "n"), [(1, 512, 1000), (50, 192, 77), (190, 7, 3), (3, 300, 64)])
@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize(("given", "made"), [("float32", "float32"), ("float16", "float16"), ("float16", "float32")])
def test_dense_layers_multiply_in_float16(
    run_kernel: RunKernel, m: int, k: int, n: int, steps: tuple[Step, ...], given: str, made: str
) -> None:
    rng = np.random.default_rng(0)
    operands = (Plain((m, n), given),) if steps else ()
    spec = DenseSpec(Plain((m, k), given), Plain((m, n), made), m, k, n, True, steps, operands, "float16")
    inputs = [rng.standard_normal(form.shape).astype(np.float32) for form in (spec.x, *operands)]
    constants = {"w": rng.standard_normal((k, n)).astype(np.float32), "b": rng.standard_normal(n).astype(np.float32)}
    (result,) = run_kernel(spec, inputs, constants)
    assert result.dtype == made
    # along a run, then inputs, weights, operands and storing; runs are added up in float32
    limit = ROUNDING * math.sqrt(min(k, HALF_RUN) / 2 + 4)
    assert relative_error(result, reference.dense(spec, inputs, constants)) < limit


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize(("a", "b"), [((2, 3, 20, 33), (3, 33, 40)), ((1, 7, 300), (300, 19)), ((130,), (130, 5))])
@pytest.mark.parametrize("left", ["float32", "float16"])
def test_products_of_two_float16_activations(
    run_kernel: RunKernel, a: tuple[int, ...], b: tuple[int, ...], left: str, steps: tuple[Step, ...]
) -> None:
    rng = np.random.default_rng(1)
    inputs = [rng.standard_normal(shape).astype(np.float16).astype(np.float32) for shape in (a, b)]
    wanted = np.matmul(*(x.astype(np.float64) for x in inputs))
    operands = (Plain(wanted.shape, "float16"),) if steps else ()
    inputs += [rng.standard_normal(form.shape).astype(np.float16).astype(np.float32) for form in operands]
    spec = MatmulSpec(Plain(a, left), Plain(b, "float16"), Plain(wanted.shape, "float16"), steps, operands)
    (result,) = run_kernel(spec, inputs)
    assert result.dtype == np.float16
    wanted = apply_steps(wanted, steps, [x.astype(np.float64) for x in inputs[2:]])
    products = min(a[-1], HALF_RUN) / 2 if left == "float16" else 0
    assert relative_error(result.astype(np.float64), wanted) < ROUNDING * math.sqrt(products + 1)


ROWS = {
    "softmax": SoftmaxSpec(Plain((5, 77)), Plain((5, 77)), 5, 77, 1),
    "log-softmax": SoftmaxSpec(Plain((5, 77)), Plain((5, 77)), 5, 77, 1, log=True),
    "softmax of columns": SoftmaxSpec(Plain((3, 9, 77)), Plain((3, 9, 77)), 3, 9, 77),
    "log-softmax of columns": SoftmaxSpec(Plain((3, 9, 77)), Plain((3, 9, 77)), 3, 9, 77, log=True),
    "layer norm": LayerNormSpec(Plain((6, 77)), Plain((6, 77)), 6, 77, 1e-5),
    "rms norm": LayerNormSpec(Plain((6, 77)), Plain((6, 77)), 6, 77, 1e-5, bias=False, rms=True),
    "elementwise": EltwiseSpec(
        Plain((4, 7, 21)), Plain((4, 7, 21)), (Step("add", operand=0), Step("gelu"), Step("mul", operand=1)),
        (Plain((7, 1)), Plain((4, 1, 21))),
    ),
    "a scalar": EltwiseSpec(Plain((4, 3)), Plain((4, 3)), (Step("div", operand=0),), (Plain(()),)),
}  # fmt: skip


@pytest.mark.parametrize("case", ROWS)
def test_row_major_kernels_are_the_float32_ones_rounded_once(run_kernel: RunKernel, case: str) -> None:
    """Softmax twice: its exponentials are kept where the results go."""
    spec = ROWS[case]
    rng = np.random.default_rng(3)
    forms = (spec.x, *getattr(spec, "operands", ()))
    inputs = [rng.standard_normal(form.shape).astype(np.float16).astype(np.float32) for form in forms]
    constants = {role: rng.standard_normal(77).astype(np.float32) for role in ("scale", "b")}
    (full,) = run_kernel(spec, inputs, constants)
    (result,) = run_kernel(half(spec), inputs, constants)
    assert result.dtype == np.float16
    np.testing.assert_array_max_ulp(result, full.astype(np.float16), 3 if case.startswith("softmax") else 1)
    (back,) = run_kernel(replace(half(spec), out=spec.out), inputs, constants)
    np.testing.assert_array_equal(back, full)


@pytest.mark.parametrize("kind", ["dense", "matmul"])
def test_a_phone_converts_no_float16_activation(kind: str) -> None:
    """Products read vectors and scalars of float16 as they lie."""
    rows, square = Plain((64, 64), "float16"), Plain((64, 64), "float16")
    spec = DenseSpec(rows, rows, 64, 64, 64, weights="float16") if kind == "dense" else MatmulSpec(rows, square, rows)
    lines = [line.split() for line in assembly([generator(spec).prim_func(spec, PHONE, "kernel")], PHONE).splitlines()]
    loops = [words for words in lines if words and words[0] == "fmla"]
    assert sum(words[1].endswith(".8h,") for words in loops) > 20
    assert not any(words[1].endswith(".4s,") for words in loops)
    assert not any(words and words[0] == "fcvt" for words in lines)


def test_a_phone_multiplies_eight_columns_at_once() -> None:
    spec = DenseSpec(Plain((197, 192)), Plain((197, 192)), 197, 192, 192, weights="float16")
    lines = [line.split() for line in assembly([dense.prim_func(spec, PHONE, "kernel")], PHONE).splitlines()]
    products = [words[1] for words in lines if words and words[0] == "fmla"]
    assert sum(form.endswith(".8h,") for form in products) > 20
    assert not any(form.endswith(".4s,") for form in products)


def test_weights_beyond_float16_are_refused() -> None:
    spec = half(test_conv.spec_of(8, 8, (4, 4), (1, 1), block=8))
    _, constants = test_conv.data(spec)
    constants["w"][3, 2] = -7e4
    with pytest.raises(HetpartError, match="7e\\+04") as caught:
        conv.pack(spec, HOST, constants)
    assert caught.value.code == "float16-range"
    constants["w"][3, 2] = -np.inf  # the model's own
    assert np.isinf(conv.pack(spec, HOST, constants)[0]).any()


def test_mixed_maps_are_refused() -> None:
    spec = half(test_conv.spec_of(8, 8, (4, 4), (1, 1), block=8))
    with pytest.raises(InternalError):
        conv.prim_func(replace(spec, x=replace(spec.x, dtype="float32")), HOST, "kernel")


MAP, SMALL = Blocked(2, 20, 9, 11, 8, Halo(1, 1, 1, 1)), Blocked(2, 20, 4, 5, 8, Halo(1, 0, 2, 1))
ONE = Blocked(2, 20, 1, 1, 8)
LINES = tuple(
    tuple((min(n - 1, i // 2), min(n - 1, i // 2 + 1), 0.5 * (i % 2)) for i in range(m)) for n, m in ((4, 9), (5, 11))
)
OTHERS = {
    "max pool": PoolSpec(MAP, SMALL, "max", (3, 3), (2, 2)),
    "average pool": PoolSpec(MAP, SMALL, "average", (3, 3), (2, 2)),
    "global average": GlobalPoolSpec(MAP, ONE, "average"),
    "global maximum": GlobalPoolSpec(MAP, ONE, "max"),
    "instance norm": InstanceNormSpec(MAP, MAP, 1e-5, (Step("relu"),)),
    "linear resize": ResizeSpec(SMALL, MAP, "linear", *LINES),
    "nearest resize": ResizeSpec(SMALL, MAP, "nearest", *LINES),
    "reflection": PadSpec(SMALL, Blocked(2, 20, 7, 8, 8), "reflect", (1, 2, 2, 1)),
    "constant": PadSpec(SMALL, Blocked(2, 20, 7, 8, 8), "constant", (1, 2, 2, 1), 0.3),
    "a sum": EltwiseSpec(MAP, MAP, (Step("add", operand=0), Step("clip", (-3.4e38, 1e6))), (MAP,)),
    "a gate": EltwiseSpec(MAP, MAP, (Step("mul", operand=0), Step("mul_const", (0.25,))), (ONE,)),
    "leaky": EltwiseSpec(MAP, MAP, (Step("leaky_relu", (0.1,)),)),
    "bounds": EltwiseSpec(MAP, MAP, (Step("hardswish"), Step("neg"), Step("hard_sigmoid", (0.2, 0.5)))),
    "exponentials": EltwiseSpec(MAP, MAP, (Step("silu"), Step("add_const", (1e-3,)))),
    "transposed": ConvTransposeSpec(SMALL, Blocked(2, 12, 8, 10, 8), (2, 2), (2, 2), steps=(Step("relu"),)),
}


@pytest.mark.parametrize("case", OTHERS)
def test_all_other_kernels_are_the_float32_ones_rounded_once(run_kernel: RunKernel, case: str) -> None:
    spec = OTHERS[case]
    rng = np.random.default_rng(3)
    maps = (spec.x, *getattr(spec, "operands", ()))
    inputs = [rng.standard_normal(m.shape).astype(np.float16).astype(np.float32) for m in maps]
    constants = {
        "w": rng.standard_normal((20, 12, 2, 2)).astype(np.float32),
        "b": rng.standard_normal(12 if case == "transposed" else 20).astype(np.float32),
        "scale": rng.standard_normal(20).astype(np.float32),
    }
    (full,) = run_kernel(spec, inputs, constants)
    (result,) = run_kernel(half(spec), inputs, constants)
    assert result.dtype == np.float16
    np.testing.assert_array_max_ulp(result, full.astype(np.float16), 1)


@given(st.sampled_from(["add", "sub", "max", "mul", "div"]), st.floats(-6e4, 6e4, width=16))
@settings(max_examples=10, deadline=None)
def test_range_is_lost_in_results_only(run_kernel: RunKernel, op: str, factor: float) -> None:
    """What does not fit becomes infinite, as a cast in ONNX makes it; what fits in the end is right."""
    shape = Blocked(1, 8, 3, 3, 8, dtype="float16")
    spec = EltwiseSpec(shape, shape, (Step(op, operand=0), Step("mul_const", (0.01,))), (shape,))
    x = np.linspace(-6e4, 6e4, 72).reshape(shape.shape).astype(np.float16)
    y = np.full(shape.shape, factor, np.float16)
    (result,) = run_kernel(spec, [x, y])
    with np.errstate(all="ignore"):
        wide = [x.astype(np.float32), y.astype(np.float32)]
        one = {"add": np.add, "sub": np.subtract, "max": np.maximum, "mul": np.multiply, "div": np.divide}[op](*wide)
        want = (one * np.float32(0.01)).astype(np.float16)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(want))
    np.testing.assert_array_max_ulp(result[~np.isnan(want)], want[~np.isnan(want)], 1)


@pytest.mark.parametrize("channels", [8, 20, 3])
@pytest.mark.parametrize("nhwc", [False, True])
def test_a_layout_change_converts(run_kernel: RunKernel, channels: int, nhwc: bool) -> None:
    shape = (2, channels, 5, 6)
    x = np.random.default_rng(4).standard_normal(shape).astype(np.float32) * 1e3
    given_x = x.transpose(0, 2, 3, 1) if nhwc else x
    form = Blocked(*shape, 8, Halo(1, 1, 0, 2), "float16")
    row_major = Plain(given_x.shape)
    (stored,) = run_kernel(RepackSpec(row_major, form, nhwc=nhwc), [given_x])
    np.testing.assert_array_equal(stored, x.astype(np.float16))
    (back,) = run_kernel(RepackSpec(form, row_major, nhwc=nhwc), [x])
    np.testing.assert_array_equal(back, given_x.astype(np.float16).astype(np.float32))
