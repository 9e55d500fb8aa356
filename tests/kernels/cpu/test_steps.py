"""Every epilogue step, rendered for vectors and for scalars, against its definition in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.graph.epilogue import BINARY, PARAMETRIC, UNARY, Step
from hetpart.graph.evaluate import apply_steps
from hetpart.graph.layout import Plain
from hetpart.kernels.cpu import steps
from hetpart.kernels.cpu.build import aligned, build_object, host_isa, load
from hetpart.kernels.cpu.emit import Buffer, Expr, range_kernel
from hetpart.kernels.isa import Isa

LANES = 16
ROWS = 96
CONSTANTS = {"clip": (-1.0, 6.0), "hard_sigmoid": (0.2, 0.5), "pow_const": (3.0,)}
ALL = [
    *(Step(op) for op in sorted(UNARY)),
    *(Step(op, CONSTANTS.get(op, (0.3,))) for op in sorted(PARAMETRIC)),
    *(Step("pow_const", (exponent,)) for exponent in (0.5, 2.0, -1.0, 1.75)),
    *(Step("clip", bounds) for bounds in ((-np.inf, 3.0), (0.0, np.inf))),
    *(Step(op, operand=0, reverse=reverse) for op in sorted(BINARY) for reverse in (False, True)),
]


def kernel_of(chain: Sequence[Step], vectors: bool = True, isa: Isa | None = None) -> object:
    layout = Plain((ROWS, LANES))

    def body(row: Expr, x: Buffer, operand: Buffer, out: Buffer) -> None:
        def emit(place: list[Expr]) -> None:
            T.buffer_store(out, steps.render(chain, x[tuple(place)], lambda _: operand[tuple(place)], isa), place)

        if vectors:
            emit([row, tirx.Ramp(0, 1, LANES)])
        else:
            with T.vectorized(0, LANES) as lane:
                emit([row, lane])

    return range_kernel("kernel", (layout, layout, layout), body)


def run(
    chain: Sequence[Step], x: np.ndarray, operand: np.ndarray, vectors: bool = True, isa: Isa | None = None
) -> np.ndarray:
    arrays = [aligned((ROWS, LANES)) for _ in range(3)]
    arrays[0][...], arrays[1][...] = x, operand
    load([kernel_of(chain, vectors, isa)], host_isa())["kernel"](*arrays, 0, ROWS)
    return arrays[2]


def inputs() -> tuple[np.ndarray, np.ndarray]:
    """Values around zero, large ones, and the whole range of exponents."""
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            rng.standard_normal((ROWS // 3, LANES)) * 4,
            rng.uniform(-80, 80, (ROWS // 3, LANES)),
            np.exp(rng.uniform(-40, 40, (ROWS // 3, LANES))) * rng.choice([-1, 1], (ROWS // 3, LANES)),
        ]
    )
    return x.astype(np.float32), rng.standard_normal(x.shape).astype(np.float32) + np.float32(0.1)


@pytest.mark.parametrize("step", ALL, ids=str)
def test_accuracy(step: Step) -> None:
    """Within 1e-6 of the exact value, or of the value at the next float32 input (ill-conditioned steps)."""
    x, operand = inputs()
    if step.op in ("pow", "log", "sqrt", "rsqrt") or step == Step("pow_const", (1.75,)):
        x, operand = np.abs(x), np.clip(np.abs(operand), 0, 2)

    def exactly(values: np.ndarray) -> np.ndarray:
        return apply_steps(values.astype(np.float64), [step], [operand.astype(np.float64)])

    exact = exactly(x)
    with np.errstate(all="ignore"):
        expected = exact.astype(np.float32)
        spread = np.fmax(*(np.abs(exactly(np.nextafter(x, np.float32(to))) - exact) for to in (-np.inf, np.inf)))
        slack = 1e-6 * np.abs(exact) + 2 * spread + 1e-37
    if step.op in ("gelu", "gelu_tanh", "mish"):
        slack += 1e-7 * np.minimum(1, np.abs(x))
    result = run([step], x, operand)
    regular = np.isfinite(expected)
    np.testing.assert_array_equal(result[~regular], expected[~regular])
    assert (np.abs(result[regular] - exact[regular]) <= slack[regular]).all()


@pytest.mark.parametrize("step", [s for s in ALL if s.op not in ("pow", "pow_const")], ids=str)
def test_special_values(step: Step) -> None:
    """NaN stays NaN, and infinities, zeros and denormals give what the definition says."""
    x = np.zeros((ROWS, LANES), np.float32)
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 3e38, -3e38]
    x[:, : len(special)] = special
    operand = np.full_like(x, 0.5)
    expected = apply_steps(x.astype(np.float64), [step], [operand.astype(np.float64)])
    with np.errstate(all="ignore"):
        expected = expected.astype(np.float32)
    if step.op in ("gelu", "gelu_tanh", "silu", "mish", "softsign", "hardswish"):
        # inf * 0 and inf / inf are NaN in any float arithmetic that follows the formula
        x[:, 1:3] = 0.0
        expected[:, 1:3] = expected[:, 3:4]
    np.testing.assert_allclose(run([step], x, operand), expected, rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize(
    "step", [Step("relu"), Step("clip", (-1.0, 6.0)), *(Step("leaky_relu", (s,)) for s in (0.1, 1.0, 0.0, 1.5, -0.5))],
    ids=str,
)  # fmt: skip
def test_what_phones_compute_by_other_instructions(step: Step) -> None:
    """The same numbers and special values, here from what LLVM makes of these instructions for the host."""
    phone = Isa("aarch64-linux-android", "cortex-a76", (), lanes=4, registers=32)
    x, operand = inputs()
    x[0, :9] = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 3e38, -3e38]
    np.testing.assert_array_equal(run([step], x, operand, isa=phone), run([step], x, operand))


@pytest.mark.parametrize("op", ["relu", "sigmoid", "log", "tanh", "sign"])
def test_scalars_in_a_vectorised_loop_give_the_same(op: str) -> None:
    x, operand = inputs()
    np.testing.assert_array_equal(run([Step(op)], x, operand, vectors=False), run([Step(op)], x, operand, vectors=True))


def test_steps_follow_each_other() -> None:
    x, operand = inputs()
    chain = [Step("add", operand=0), Step("relu"), Step("sub", operand=0, reverse=True), Step("mul_const", (2.0,))]
    expected = apply_steps(x.astype(np.float64), chain, [operand.astype(np.float64)])
    np.testing.assert_allclose(run(chain, x, operand), expected, rtol=1e-6, atol=1e-5)


def test_no_step_but_pow_calls_libm() -> None:
    chain = [s for s in ALL if s.op not in ("pow", "pow_const")]
    symbols = build_object([kernel_of(chain)], host_isa())
    for name in (b"expf", b"logf", b"tanhf", b"erff", b"powf"):
        assert name not in symbols
    assert b"powf" in build_object([kernel_of([Step("pow", operand=0)])], host_isa())


def test_gelu_at_the_infinities() -> None:
    x = np.zeros((ROWS, LANES), np.float32)
    x[:, :4] = [np.inf, -np.inf, 3e38, -3e38]
    np.testing.assert_array_equal(
        run([Step("gelu")], x, x)[:, :4], np.tile([np.inf, 0, np.float32(3e38), 0], (ROWS, 1))
    )


def test_exp_below() -> None:
    """A few units in 1e-7 wherever e^x is a normal number, zero not far below."""
    layout = Plain((ROWS, LANES))

    def body(row: Expr, x: Buffer, out: Buffer) -> None:
        place = [row, tirx.Ramp(0, 1, LANES)]
        T.buffer_store(out, steps.exp_below(x[tuple(place)]), place)

    x, out = aligned((ROWS, LANES)), aligned((ROWS, LANES))
    x[...] = np.linspace(-87.3, 0, x.size).reshape(x.shape)
    x[0, :4] = [np.nan, -88.1, -3e38, -np.inf]
    load([range_kernel("kernel", (layout, layout), body)], host_isa())["kernel"](x, out, 0, ROWS)
    with np.errstate(under="ignore"):
        expected = np.exp(x.astype(np.float64))
    expected[0, 1:4] = 0
    np.testing.assert_allclose(out, expected, rtol=3e-7)
