"""Layer and RMS normalisation against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hetpart.graph.layout import Plain
from hetpart.kernels.kernel import Device
from hetpart.kernels.spec import LayerNormSpec
from tests.numerics import relative_error


@pytest.mark.parametrize("length", [1, 6, 64, 769])
@pytest.mark.parametrize("kind", ["layer", "layer-without-bias", "rms"])
def test_rows(rig: Any, rng: np.random.Generator, style: tuple[Device, int], length: int, kind: str) -> None:
    device, _ = style
    x = (3 + rng.standard_normal((5, length))).astype(np.float32)
    constants = {role: rng.standard_normal(length).astype(np.float32) for role in ("scale", "b")}
    if kind != "layer":
        del constants["b"]
    form = Plain(x.shape)
    spec = LayerNormSpec(form, form, 5, length, 1e-5, kind == "layer", kind == "rms")
    exact = x.astype(np.float64)
    centred = exact if kind == "rms" else exact - exact.mean(axis=1, keepdims=True)
    wanted = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5) * constants["scale"]
    assert relative_error(rig.run(spec, device, [x], constants), wanted + constants.get("b", 0)) < 1e-6
