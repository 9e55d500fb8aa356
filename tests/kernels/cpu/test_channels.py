"""Channels in another order: exact for any dtype, block and halo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from hetpart.graph.layout import Blocked, Halo
from hetpart.kernels.spec import ChannelsSpec
from tests.kernels.cpu.conftest import RunKernel
from tests.kernels.test_channels import moves, shuffle


def check(run_kernel: RunKernel, spec: ChannelsSpec, dtype: str = "float32") -> None:
    random = np.random.default_rng(0)
    arrays = [random.integers(-100, 100, x.shape).astype(dtype) for x in spec.xs]
    wanted = np.stack([arrays[number][:, channel] for number, channel in spec.picks], axis=1)
    np.testing.assert_array_equal(run_kernel(spec, arrays)[0], wanted)


@pytest.mark.parametrize(("dtype", "fill"), [("float32", 0), ("float16", 0), ("int8", -7), ("uint8", 3)])
@pytest.mark.parametrize("block", [4, 16, 32])
def test_half_of_a_shuffle(run_kernel: RunKernel, block: int, dtype: str, fill: int) -> None:
    halos = [Halo(1, 0, 2, 1), Halo(), Halo(1, 1, 1, 1)]
    x, z, out = (Blocked(2, 58, 3, 7, block, halo, dtype, fill) for halo in halos)
    picks = shuffle(2, 58)
    for half in (picks[:58], picks[58:]):
        check(run_kernel, ChannelsSpec((x, z), out, half), dtype)


def test_from_blocks_of_other_sizes(run_kernel: RunKernel) -> None:
    xs = (Blocked(1, 9, 3, 7, 4), Blocked(1, 9, 3, 7, 8))
    check(run_kernel, ChannelsSpec(xs, Blocked(1, 18, 3, 7, 16, Halo(1, 1, 1, 1)), shuffle(2, 9)))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spec=moves())
def test_any_move(run_kernel: RunKernel, spec: ChannelsSpec) -> None:
    check(run_kernel, spec)
