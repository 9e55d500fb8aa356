"""Products of two activations against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hetpart.errors import InternalError
from hetpart.graph.epilogue import Step
from hetpart.graph.evaluate import apply_steps
from hetpart.graph.layout import Plain
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
