"""Resizing against onnxruntime; the coordinates come from hetpart.kernels.coordinates' own tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked, Halo
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import resize
from hetpart.kernels.spec import ResizeSpec
from tests.numerics import relative_error


def half_pixel(size: int, out: int) -> tuple[tuple[int, int, float], ...]:
    """Linear interpolation, half_pixel."""
    at = np.clip((np.arange(out) + 0.5) * size / out - 0.5, 0, size - 1)
    low = np.floor(at).astype(int)
    return tuple((int(lo), min(int(lo) + 1, size - 1), float(weight)) for lo, weight in zip(low, at - low, strict=True))


def floors(size: int, out: int) -> tuple[tuple[int, int, float], ...]:
    """Nearest, asymmetric, floor."""
    return tuple((i * size // out, i * size // out, 0.0) for i in range(out))


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("target", [(10, 14), (3, 20)])
def test_against_onnxruntime(
    rig: Any, rng: np.random.Generator, style: tuple[Device, int], mode: str, target: tuple[int, int]
) -> None:
    device, block = style
    x = rng.standard_normal((2, 6, 5, 7)).astype(np.float32)
    sizes = np.array([2, 6, *target], np.int64)
    how = {"coordinate_transformation_mode": "half_pixel" if mode == "linear" else "asymmetric"}
    wanted = rig.onnx("Resize", [x, None, None, sizes], mode=mode, nearest_mode="floor", **how)
    lines = half_pixel if mode == "linear" else floors
    spec = ResizeSpec(
        Blocked(*x.shape, block, Halo(1, 1, 0, 0)),
        Blocked(*wanted.shape, block, Halo(0, 1, 2, 1)),
        mode,
        lines(5, target[0]),
        lines(7, target[1]),
    )
    assert relative_error(rig.run(spec, device, [x]), wanted) < 1e-6


def test_wrong_table_is_refused() -> None:
    spec = ResizeSpec(Blocked(1, 4, 2, 2, 4), Blocked(1, 4, 4, 4, 4), "nearest", floors(2, 4), floors(2, 3))
    with pytest.raises(InternalError):
        resize.source(spec, Device(False, 24, (8, 4, 2)), "resize")
