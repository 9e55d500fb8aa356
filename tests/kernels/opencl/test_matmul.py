"""Products of two activations against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hetpart.errors import InternalError
from hetpart.graph.epilogue import Step
from hetpart.graph.evaluate import apply_steps
from hetpart.graph.layout import Plain, Strided
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import matmul
from hetpart.kernels.spec import MatmulSpec
from tests.numerics import relative_error

SHAPES = [
    ((9, 12), (12, 20)),
    ((2, 3, 19, 8), (2, 3, 8, 33)),
    ((2, 1, 5, 7), (3, 7, 6)),
    ((4, 7), (3, 7, 1)),
    ((3, 1, 7), (7, 50)),
    ((7,), (7, 5)),
    ((2, 4, 7), (7,)),
    ((2, 3, 4, 7), (2, 1, 7, 5)),
    ((7,), (7,)),
]


@pytest.mark.parametrize(("a_shape", "b_shape"), SHAPES, ids=str)
def test_product(
    rig: Any, rng: np.random.Generator, style: tuple[Device, int], a_shape: tuple[int, ...], b_shape: tuple[int, ...]
) -> None:
    device, _ = style
    a = rng.standard_normal(a_shape).astype(np.float32)
    b = rng.standard_normal(b_shape).astype(np.float32)
    wanted = np.matmul(a.astype(np.float64), b)
    shift = rng.standard_normal(wanted.shape[-1:]).astype(np.float32)
    steps = (Step("mul_const", (0.125,)), Step("add", operand=0), Step("tanh"))
    spec = MatmulSpec(Plain(a_shape), Plain(b_shape), Plain(wanted.shape), steps, (Plain(shift.shape),))
    found = rig.run(spec, device, [a, b, shift])
    assert relative_error(found, np.asarray(apply_steps(np.asarray(wanted), steps, [shift]))) < 2e-6


@pytest.mark.parametrize(("a", "b", "out"), [((2, 3), (4, 5), (2, 5)), ((2, 2, 3), (3, 3, 5), (2, 2, 5))])
def test_impossible_product_is_refused(a: tuple[int, ...], b: tuple[int, ...], out: tuple[int, ...]) -> None:
    with pytest.raises(InternalError):
        matmul.source(MatmulSpec(Plain(a), Plain(b), Plain(out)), Device(False, 24, (8, 4, 2)), "matmul")


def test_sides_that_lie_in_one_product_are_read_there(
    rig: Any, rng: np.random.Generator, style: tuple[Device, int]
) -> None:
    device, _ = style
    heads, tokens, width = 2, 19, 10
    row = 3 * heads * width
    a, v = (
        Strided((1, heads, tokens, width), "float32", tokens * row, first, (tokens * row, width, row, 1))
        for first in (0, 2 * heads * width)
    )
    weights = Plain((1, heads, tokens, tokens))
    for spec in (
        MatmulSpec(a, Plain((1, 1, width, tokens)), weights),
        MatmulSpec(weights, v, Plain((1, heads, tokens, width))),
    ):
        x, y = (rng.standard_normal(side.shape).astype(np.float32) for side in (spec.a, spec.b))
        assert relative_error(rig.run(spec, device, [x, y]), np.matmul(x.astype(np.float64), y)) < 2e-6
