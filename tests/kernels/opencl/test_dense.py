"""Dense layers against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hetpart.errors import InternalError
from hetpart.graph.epilogue import Step
from hetpart.graph.evaluate import apply_steps
from hetpart.graph.layout import Plain
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import dense
from hetpart.kernels.spec import DenseSpec
from tests.numerics import relative_error


def test_weights_in_float16(rig: Any, rng: np.random.Generator, style: tuple[Device, int]) -> None:
    device, _ = style
    for m, k, n in ((1, 64, 100), (19, 33, 70), (3, 8, 1)):
        x = rng.standard_normal((m, k)).astype(np.float32)
        w = rng.standard_normal((k, n)).astype(np.float16).astype(np.float32)
        spec = DenseSpec(Plain(x.shape), Plain((m, n)), m, k, n, False, weights="float16")
        assert relative_error(rig.run(spec, device, [x], {"w": w}), x.astype(np.float64) @ w) < 2e-6


@pytest.mark.parametrize(
    ("leading", "k", "n", "bias"),
    [
        ((1,), 64, 1000, True),
        ((3,), 17, 10, False),
        ((2, 19), 33, 70, True),
        ((5,), 8, 1, True),
        ((40,), 1, 3, False),
        ((1,), 5, 16, True),
    ],
)
def test_product(
    rig: Any, rng: np.random.Generator, style: tuple[Device, int], leading: tuple[int, ...], k: int, n: int, bias: bool
) -> None:
    device, _ = style
    x = rng.standard_normal((*leading, k)).astype(np.float32)
    w = rng.standard_normal((k, n)).astype(np.float32)
    b = rng.standard_normal(n).astype(np.float32)
    spec = DenseSpec(Plain(x.shape), Plain((*leading, n)), int(np.prod(leading)), k, n, bias)
    wanted = x.astype(np.float64) @ w + (b if bias else 0)
    found = rig.run(spec, device, [x], {"w": w, "b": b} if bias else {"w": w})
    assert relative_error(found, wanted) < 2e-6


def test_epilogue(rig: Any, rng: np.random.Generator, style: tuple[Device, int]) -> None:
    device, _ = style
    shapes = [(2, 9, 20), (20,), (9, 1), (2, 1, 1), (2, 1, 20)]
    operands = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    steps = (Step("gelu"), *(Step("add", operand=i) for i in range(len(shapes))))
    x = rng.standard_normal((2, 9, 12)).astype(np.float32)
    w = rng.standard_normal((12, 20)).astype(np.float32)
    spec = DenseSpec(Plain(x.shape), Plain((2, 9, 20)), 18, 12, 20, False, steps, tuple(map(Plain, shapes)))
    wanted = apply_steps(x.astype(np.float64) @ w, steps, operands)
    assert relative_error(rig.run(spec, device, [x, *operands], {"w": w}), wanted) < 2e-6


def test_impossible_product_is_refused() -> None:
    spec = DenseSpec(Plain((2, 3)), Plain((2, 5)), 2, 4, 5)
    with pytest.raises(InternalError, match="2 x 4 x 5"):
        dense.source(spec, Device(False, 24, (8, 4, 2)), "dense")
