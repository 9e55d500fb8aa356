"""The choice of register tiles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import tiles

TILE = Device(True, 32, (1, 1, 1))
SIMT = Device(False, 24, (8, 4, 2))
extents = st.integers(1, 70)


@pytest.mark.parametrize("device", [TILE, SIMT, Device(False, 1, (8, 4, 2))])
@given(blocks=extents, rows=extents, columns=extents)
def test_tiles_fit(device: Device, blocks: int, rows: int, columns: int) -> None:
    tile = tiles.choose(device, blocks, rows, columns)
    assert blocks % tile.blocks == 0
    assert tile.rows <= rows
    assert tile.columns <= columns
    assert tile == tiles.Tile(1, 1, 1) or tiles.fits(device, tile.blocks, tile.pixels)


def test_choices() -> None:
    assert tiles.choose(TILE, 16, 7, 7) == tiles.Tile(2, 1, 7)
    assert tiles.choose(TILE, 4, 56, 56) == tiles.Tile(4, 1, 4)
    assert tiles.choose(TILE, 6, 14, 14, max_blocks=1).blocks == 1
    assert tiles.choose(TILE, 6, 14, 3, max_rows=1).rows == 1


def test_simt_devices_get_enough_items() -> None:
    small, large = tiles.choose(SIMT, 2, 16, 16), tiles.choose(SIMT, 16, 112, 112)
    assert small.blocks * small.pixels == 1
    assert large.blocks * large.pixels >= 8
