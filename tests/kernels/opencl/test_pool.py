"""Pooling against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hetpart.errors import HetpartError
from hetpart.graph.layout import Blocked, Halo
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import pool
from hetpart.kernels.spec import PoolSpec
from tests.numerics import relative_error

CASES: dict[str, dict[str, Any]] = {
    "3x3": {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)},
    "2x3-uneven": {"kernel_shape": (2, 3), "strides": (1, 2), "pads": (0, 1, 1, 2)},
    "ceil": {"kernel_shape": (3, 3), "strides": (2, 2), "ceil_mode": 1},
    "ceil-padded": {"kernel_shape": (3, 2), "strides": (2, 3), "pads": (1, 0, 1, 1), "ceil_mode": 1},
    "dilated": {"kernel_shape": (3, 3), "strides": (1, 2), "dilations": (2, 3), "pads": (2, 2, 2, 2)},
}


@pytest.mark.parametrize("mode", ["max", "average", "average-pads-count"])
@pytest.mark.parametrize("case", CASES)
def test_against_onnxruntime(
    rig: Any, rng: np.random.Generator, style: tuple[Device, int], case: str, mode: str
) -> None:
    device, block = style
    at = {"pads": (0, 0, 0, 0), "dilations": (1, 1)} | CASES[case]
    x = rng.standard_normal((2, 21, 10, 12)).astype(np.float32)
    op = "MaxPool" if mode == "max" else "AveragePool"
    counted = {} if mode == "max" else {"count_include_pad": int(mode == "average-pads-count")}
    wanted = rig.onnx(op, [x], **at, **counted)
    spec = PoolSpec(
        Blocked(*x.shape, block, Halo(1, 0, 0, 2)),
        Blocked(*wanted.shape, block, Halo(1, 1, 2, 1)),
        mode.partition("-")[0],
        at["kernel_shape"],
        at["strides"],
        at["dilations"],
        at["pads"],
        mode == "average-pads-count",
    )
    assert relative_error(rig.run(spec, device, [x]), wanted) < 1e-6


def test_max_keeps_nan(rig: Any, style: tuple[Device, int]) -> None:
    device, block = style
    x = np.zeros((1, 4, 4, 4), np.float32)
    x[0, 2, 1, 1] = np.nan
    spec = PoolSpec(Blocked(*x.shape, block), Blocked(1, 4, 2, 2, block), "max", (2, 2), (2, 2))
    found = rig.run(spec, device, [x])
    assert np.isnan(found).sum() == 1
    assert np.isnan(found[0, 2, 0, 0])


def test_window_outside_is_refused(style: tuple[Device, int]) -> None:
    device, block = style
    spec = PoolSpec(Blocked(1, 4, 4, 4, block), Blocked(1, 4, 3, 2, block), "max", (2, 2), (2, 2))
    with pytest.raises(HetpartError, match="axis 2"):
        pool.source(spec, device, "pool")
