"""Layout changes against hetpart.graph.layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked, Halo, Layout, Plain, pack, unpack
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import repack
from hetpart.kernels.spec import RepackSpec

SHAPE = (2, 21, 5, 7)


def layouts(block: int) -> dict[str, tuple[Layout, Layout]]:
    plain = Plain(SHAPE)
    blocked = Blocked(*SHAPE, block, Halo(1, 0, 2, 1))
    return {
        "to-blocked": (plain, blocked),
        "to-plain": (blocked, plain),
        "halo": (blocked, Blocked(*SHAPE, block, Halo(0, 3, 0, 0))),
        "block": (Blocked(*SHAPE, 8), blocked),
        "flat": (Blocked(2, 21, 1, 1, block), Plain((2, 21))),
        "from-flat": (Plain((2, 21)), Blocked(2, 21, 1, 1, block, Halo(1, 1, 1, 1))),
    }


@pytest.mark.parametrize("case", layouts(4))
def test_copy(rig: Any, rng: np.random.Generator, style: tuple[Device, int], case: str) -> None:
    device, block = style
    x, out = layouts(block)[case]
    data = rng.standard_normal(x.shape).astype(np.float32)
    assert np.array_equal(rig.run(RepackSpec(x, out), device, [data]), data.reshape(out.shape))


def test_nhwc(rig: Any, rng: np.random.Generator, style: tuple[Device, int]) -> None:
    device, block = style
    blocked, plain = Blocked(*SHAPE, block, Halo(1, 0, 2, 1)), Plain((SHAPE[0], *SHAPE[2:], SHAPE[1]))
    data = rng.standard_normal(SHAPE).astype(np.float32)
    last = data.transpose(0, 2, 3, 1)
    assert np.array_equal(rig.run(RepackSpec(blocked, plain, nhwc=True), device, [data]), last)
    assert np.array_equal(rig.run(RepackSpec(plain, blocked, nhwc=True), device, [last]), data)


@pytest.mark.parametrize("form", ["plain", "same", "other"])
@pytest.mark.parametrize("channel", [0, 16, 5])
def test_concatenation_keeps_other_channels(
    rig: Any, rng: np.random.Generator, style: tuple[Device, int], channel: int, form: str
) -> None:
    device, block = style
    x: Layout = Plain(SHAPE)
    if form != "plain":
        x = Blocked(*SHAPE, block if form == "same" else 2, Halo(0, 1, 0, 1))
    out = Blocked(2, 50, 5, 7, block, Halo(1, 1, 0, 1))
    data = rng.standard_normal(SHAPE).astype(np.float32)
    before = rng.standard_normal((2, 50, 5, 7)).astype(np.float32)
    wanted = before.copy()
    wanted[:, channel : channel + 21] = data
    dirty = pack(before, out)
    dirty[:, :, 0] = np.nan
    found = rig.stored(RepackSpec(x, out, channel), device, [data], {}, out=dirty)
    assert np.array_equal(unpack(found, out), wanted)
    touched = range(channel // block, (channel + 20) // block + 1)
    assert not found[:, touched, 0].any()
    assert np.isnan(np.delete(found, touched, axis=1)[:, :, 0]).all()


def test_plain_concatenation(rig: Any, rng: np.random.Generator, style: tuple[Device, int]) -> None:
    device, block = style
    data = rng.standard_normal(SHAPE).astype(np.float32)
    before = rng.standard_normal((2, 30, 5, 7)).astype(np.float32)
    found = rig.stored(RepackSpec(Blocked(*SHAPE, block), Plain((2, 30, 5, 7)), 4), device, [data], {}, out=before)
    before[:, 4:25] = data
    assert np.array_equal(found, before)


@pytest.mark.parametrize(
    ("x", "out", "channel"),
    [
        (Plain((1, 4)), Plain((1, 4)), 0),
        (Plain((1, 4, 2, 2)), Blocked(1, 4, 2, 3, 4), 0),
        (Plain((1, 4, 2, 2)), Blocked(1, 6, 2, 2, 4), 3),
    ],
)
def test_impossible_copies_are_refused(x: Layout, out: Layout, channel: int) -> None:
    with pytest.raises(InternalError):
        repack.source(RepackSpec(x, out, channel), Device(False, 24, (8, 4, 2)), "copy")
