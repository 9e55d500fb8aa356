"""Global pooling against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hetpart.graph.layout import Blocked, Halo
from hetpart.kernels.kernel import Device
from hetpart.kernels.spec import GlobalPoolSpec
from tests.numerics import relative_error


@pytest.mark.parametrize("mode", ["max", "average"])
@pytest.mark.parametrize("size", [(7, 7), (1, 5), (160, 160)])
def test_reduction(
    rig: Any, rng: np.random.Generator, style: tuple[Device, int], mode: str, size: tuple[int, int]
) -> None:
    device, block = style
    x = rng.random((2, 19, *size), np.float32)
    spec = GlobalPoolSpec(
        Blocked(*x.shape, block, Halo(1, 2, 0, 1)), Blocked(2, 19, 1, 1, block, Halo(1, 0, 1, 1)), mode
    )
    reduce = np.max if mode == "max" else np.mean
    wanted = reduce(x.astype(np.float64), axis=(2, 3), keepdims=True)
    assert relative_error(rig.run(spec, device, [x]), wanted) < 1e-6
