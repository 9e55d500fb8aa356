"""Instance normalisation against float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Blocked, Halo
from hetpart.kernels.kernel import Device
from hetpart.kernels.spec import InstanceNormSpec
from tests.numerics import relative_error


def test_planes(rig: Any, rng: np.random.Generator, style: tuple[Device, int]) -> None:
    device, block = style
    x = (3 + rng.standard_normal((2, 21, 13, 17))).astype(np.float32)
    skip = rng.standard_normal(x.shape).astype(np.float32)
    constants = {role: rng.standard_normal(21).astype(np.float32) for role in ("scale", "b")}
    spec = InstanceNormSpec(
        Blocked(*x.shape, block, Halo(0, 1, 1, 0)),
        Blocked(*x.shape, block, Halo(1, 1, 2, 0)),
        1e-5,
        (Step("relu"), Step("add", operand=0)),
        (Blocked(*x.shape, block),),
    )
    exact = x.astype(np.float64)
    centred = exact - exact.mean(axis=(2, 3), keepdims=True)
    scale, b = (constants[role].reshape(1, -1, 1, 1) for role in ("scale", "b"))
    wanted = centred / np.sqrt((centred**2).mean(axis=(2, 3), keepdims=True) + 1e-5) * scale + b
    found = rig.run(spec, device, [x, skip], constants)
    assert relative_error(found, np.maximum(wanted, 0) + skip) < 1e-6
