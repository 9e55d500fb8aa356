"""Products of two activations against float64, with ONNX broadcasting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetpart.errors import InternalError
from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Plain, Strided
from hetpart.kernels.cpu import matmul
from hetpart.kernels.cpu.build import host_isa
from hetpart.kernels.spec import MatmulSpec
from tests.kernels.cpu import reference
from tests.kernels.cpu.conftest import RunKernel
from tests.numerics import relative_error


def check(
    run_kernel: RunKernel, a: tuple[int, ...], b: tuple[int, ...], operand: tuple[int, ...] | None = None
) -> None:
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(s).astype(np.float32) for s in (a, b, *([] if operand is None else [operand]))]
    out = np.shape(np.zeros(a) @ np.zeros(b))
    steps = (Step("mul_const", (0.125,)), *([] if operand is None else [Step("add", operand=0)]))
    spec = MatmulSpec(Plain(a), Plain(b), Plain(out), steps, () if operand is None else (Plain(operand),))
    (result,) = run_kernel(spec, inputs)
    assert relative_error(result, reference.matmul(spec, inputs)) < reference.TOLERANCE


@pytest.mark.parametrize(
    ("a", "b", "operand"),
    [
        ((1, 3, 197, 64), (1, 3, 64, 197), (1, 1, 1, 197)),
        ((2, 3, 50, 50), (3, 50, 64), None),
        ((300, 300), (300, 300), (300, 1)),
        ((2, 1, 5, 7), (3, 7, 4), (2, 3, 1, 1)),
        ((6, 9), (5, 9, 1), None),
        ((7,), (7,), ()),
        ((5,), (2, 5, 9), (2, 9)),
        ((4, 3, 7), (7,), (4, 3)),
        ((1, 1), (1, 1), None),
    ],
)
def test_shapes(run_kernel: RunKernel, a: tuple[int, ...], b: tuple[int, ...], operand: tuple[int, ...] | None) -> None:
    check(run_kernel, a, b, operand)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_product(run_kernel: RunKernel, data: st.DataObject) -> None:
    batch = tuple(data.draw(st.lists(st.integers(1, 4), max_size=3)))
    m, k, n = (data.draw(st.integers(1, 40)) for _ in range(3))

    def side() -> tuple[int, ...]:
        start = data.draw(st.integers(0, len(batch)))
        return tuple(data.draw(st.sampled_from([1, size])) for size in batch[start:])

    a, b = (*side(), m, k), (*side(), k, n)
    out = np.shape(np.zeros(a) @ np.zeros(b))
    operand = tuple(data.draw(st.sampled_from([1, size])) for size in out[data.draw(st.integers(0, len(out))) :])
    check(run_kernel, a, b, operand if data.draw(st.booleans()) else None)


def test_shapes_that_do_not_fit_are_refused() -> None:
    for a, b, out in (((2, 3), (4, 5), (2, 5)), ((2, 3), (3, 5), (2, 6)), ((2, 2, 3), (3, 3, 5), (3, 2, 5))):
        with pytest.raises(InternalError, match="is not"):
            matmul.prim_func(MatmulSpec(Plain(a), Plain(b), Plain(out)), host_isa(), "kernel")


@pytest.mark.parametrize(("heads", "tokens", "width"), [(3, 197, 64), (2, 5, 7), (1, 1, 1)])
def test_sides_that_lie_in_one_product_are_read_there(
    run_kernel: RunKernel, heads: int, tokens: int, width: int
) -> None:
    rng = np.random.default_rng(0)
    row = 3 * heads * width

    def part(number: int) -> Strided:
        """Query, key or value, in a (tokens, 3, heads, width) product."""
        steps = (tokens * row, width, row, 1)
        return Strided((1, heads, tokens, width), "float32", tokens * row, number * heads * width, steps)

    weights = Plain((1, heads, tokens, tokens))
    for spec in (
        MatmulSpec(weights, part(2), Plain((1, heads, tokens, width))),
        MatmulSpec(part(0), Plain((1, 1, width, tokens)), weights),
    ):
        inputs = [rng.standard_normal(side.shape).astype(np.float32) for side in (spec.a, spec.b)]
        (result,) = run_kernel(spec, inputs)
        assert relative_error(result, reference.matmul(spec, inputs)) < reference.TOLERANCE


def test_rows_must_be_contiguous() -> None:
    spec = MatmulSpec(Plain((5, 4)), Strided((4, 6), "float32", 24, 0, (1, 4)), Plain((5, 6)))
    with pytest.raises(InternalError, match="contiguous"):
        matmul.prim_func(spec, host_isa(), "kernel")
