"""Channels in another order, from buffers and from images: exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from hetpart.graph.layout import Blocked, Halo
from hetpart.kernels.kernel import Device
from hetpart.kernels.spec import ChannelsSpec
from tests.kernels.opencl.conftest import SIMT, in_memory, rounded
from tests.kernels.opencl.test_memory import MEMORIES
from tests.kernels.test_channels import moves, shuffle

PICKS = shuffle(2, 29)
HALVES = [PICKS[:29], PICKS[29:]]


def check(rig: Any, spec: ChannelsSpec, device: Device, arrays: list[np.ndarray]) -> None:
    wanted = np.stack([arrays[number][:, channel] for number, channel in spec.picks], axis=1)
    np.testing.assert_array_equal(rig.run(spec, device, arrays), wanted)


@pytest.mark.parametrize("picks", HALVES)
def test_half_of_a_shuffle(rig: Any, rng: np.random.Generator, style: tuple[Device, int], picks: Any) -> None:
    device, block = style
    x, z, out = (Blocked(2, 29, 5, 7, block, halo) for halo in (Halo(1, 0, 2, 1), Halo(), Halo(1, 1, 1, 1)))
    arrays = [rng.standard_normal(x.shape).astype(np.float32) for _ in range(2)]
    check(rig, ChannelsSpec((x, z), out, picks), device, arrays)


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("picks", HALVES)
def test_private_memory(rig: Any, rng: np.random.Generator, memory: str, picks: Any) -> None:
    form = Blocked(2, 29, 5, 7, 4)
    spec = in_memory(ChannelsSpec((form, form), form, picks), memory)
    arrays = [rounded(rng.standard_normal(form.shape), memory) for _ in range(2)]
    check(rig, spec, SIMT, arrays)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spec=moves())
def test_any_move(rig: Any, spec: ChannelsSpec) -> None:
    random = np.random.default_rng(0)
    check(rig, spec, SIMT, [random.standard_normal(x.shape).astype(np.float32) for x in spec.xs])
