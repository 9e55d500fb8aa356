"""Launches cover their grid."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl.grid import Grid

SIMT = Device(False, 24, (8, 4, 2))
sizes = st.integers(1, 300)


@given(sizes, sizes, sizes)
def test_launch_covers_the_grid(x: int, y: int, z: int) -> None:
    grid = Grid(x, y, z)
    launch = grid.launch(SIMT)
    assert math.prod(launch.local_size) <= 64
    for size, launched, local in zip(grid.sizes, launch.global_size, launch.local_size, strict=True):
        assert launched % local == 0
        assert size <= launched < size + local
    assert bool(grid.guard(SIMT)) == (launch.global_size != grid.sizes)


def test_groups_stay_full_on_narrow_grids() -> None:
    assert Grid(1000).launch(SIMT).local_size == (64, 1, 1)
    assert Grid(2, 14, 64).launch(SIMT).local_size == (2, 14, 2)


def test_tile_devices_run_item_by_item() -> None:
    assert Grid(7, 3, 5).launch(Device(True, 32, (1, 1, 1))).local_size == (1, 1, 1)
    assert Grid(7, 3, 5).guard(Device(True, 32, (1, 1, 1))) == []
