"""Kernels that compute every vector of a blocked map on its own: pooling, resizing, padding, elementwise steps.

A work-item computes one vector, or on tile devices one row of vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hetpart.graph.layout import Blocked
from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl import tiles
from hetpart.kernels.opencl.blocked import Position, clear_halo
from hetpart.kernels.opencl.text import for_range, kernel
from hetpart.kernels.opencl.tiles import Tile


def source(
    symbol: str,
    comment: Sequence[str],
    arguments: Sequence[str],
    out: Blocked,
    device: Device,
    compute: Callable[[Position], list[str]],
    before: str = "",
) -> str:
    """The kernel in which `compute` gives the statements that store one vector of `out`."""
    tile = _tile(out, device)
    lines, at = tiles.locate(out, tile)
    if tile.columns > 1:
        inner = Position(at.image, at.block, at.row, "column")
        work = for_range("column", "0", str(out.w), compute(inner))
    else:
        work = compute(at)
    body = [
        *tiles.grid(out, tile).guard(device),
        *lines,
        *work,
        *clear_halo(out, at, tile.blocks, tile.rows, tile.columns),
    ]
    return kernel(symbol, comment, arguments, body, before)


def launch(out: Blocked, device: Device) -> Launch:
    return tiles.grid(out, _tile(out, device)).launch(device)


def _tile(out: Blocked, device: Device) -> Tile:
    return Tile(1, 1, out.w if device.tile_items else 1)
