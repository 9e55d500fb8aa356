"""Softmax against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hetpart.graph.layout import Plain
from hetpart.kernels.kernel import Device
from hetpart.kernels.spec import SoftmaxSpec
from tests.numerics import relative_error


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("shape", [(3, 1000, 1), (2, 5, 1), (4, 1, 1), (2, 7, 37), (3, 9, 2), (1, 200, 1)], ids=str)
def test_over_the_middle(
    rig: Any, rng: np.random.Generator, style: tuple[Device, int], shape: tuple[int, int, int], log: bool
) -> None:
    device, _ = style
    x = (5 * rng.standard_normal(shape)).astype(np.float32)
    x[0, 0] = 300  # overflows unless the maximum is subtracted
    form = Plain(shape)
    exact = x.astype(np.float64) - x.max(axis=1, keepdims=True)
    wanted = exact - np.log(np.exp(exact).sum(axis=1, keepdims=True))
    found = rig.run(SoftmaxSpec(form, form, *shape, log), device, [x])
    assert relative_error(found, wanted if log else np.exp(wanted)) < 1e-6


def test_masked_and_nan(rig: Any, style: tuple[Device, int]) -> None:
    """Minus infinity gets no weight; a NaN spoils its own row only."""
    device, _ = style
    x = np.zeros((3, 20, 1), np.float32)
    x[0, ::2], x[1, 3] = -np.inf, np.nan
    form = Plain(x.shape)
    found = rig.run(SoftmaxSpec(form, form, *x.shape), device, [x])
    assert np.array_equal(found[0, :4, 0], np.float32([0, 0.1, 0, 0.1]))
    assert np.isnan(found[1]).all()
    assert np.allclose(found[2], 0.05)
