"""Padding against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hetpart.errors import HetpartError
from hetpart.graph.layout import Blocked, Halo
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import pad
from hetpart.kernels.spec import PadSpec


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
@pytest.mark.parametrize("pads", [(1, 2, 3, 0), (-1, 3, 2, -2)], ids=str)
def test_modes(
    rig: Any, rng: np.random.Generator, style: tuple[Device, int], mode: str, pads: tuple[int, int, int, int]
) -> None:
    device, block = style
    top, left, bottom, right = pads
    x = rng.standard_normal((2, 21, 5, 7)).astype(np.float32)
    grown = [(0, 0), (0, 0), (max(0, top), max(0, bottom)), (max(0, left), max(0, right))]
    how = {"constant_values": -1.5} if mode == "constant" else {}
    wanted = np.pad(x, grown, mode=mode, **how)
    wanted = wanted[:, :, max(0, -top) : wanted.shape[2] + min(0, bottom), max(0, -left) :]
    wanted = wanted[..., : wanted.shape[3] + min(0, right)]
    spec = PadSpec(
        Blocked(*x.shape, block, Halo(1, 0, 0, 1)), Blocked(*wanted.shape, block, Halo(1, 1, 0, 2)), mode, pads, -1.5
    )
    assert np.array_equal(rig.run(spec, device, [x]), wanted)


def test_reflecting_beyond_the_image_is_refused() -> None:
    spec = PadSpec(Blocked(1, 4, 2, 4, 4), Blocked(1, 4, 4, 4, 4), "reflect", (2, 0, 0, 0))
    with pytest.raises(HetpartError, match="2 x 4"):
        pad.source(spec, Device(False, 24, (8, 4, 2)), "pad")
