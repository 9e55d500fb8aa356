"""Register tiles of blocked outputs: their choice, and the coordinates of the tile that a work-item computes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hetpart.graph.layout import Blocked
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl.blocked import Position
from hetpart.kernels.opencl.grid import Grid, item

MAX_SUMS = 16
"""More accumulators than this gain nothing: 2 x 14 is no faster than 2 x 7 on PoCL, and the kernel text doubles."""

LATENCY = 8
"""Independent sums that keep two multiply-add pipelines of latency 4 busy (Skylake-X and Cortex-A76 alike).

A SIMT device fills its pipelines with other work-items instead."""

WEIGHT_SLOTS = 4
"""Issue slots that pass while one vector of weights comes from the second-level cache (32 bytes a cycle on x86)."""

MIN_ITEMS = 1024
"""Work-items that a mobile GPU wants at least: an Adreno 640 has 384 multiply-add lanes, with several items each."""


@dataclass(frozen=True)
class Tile:
    """Channel blocks x rows x columns of the output that one work-item computes. `blocks` divides the output's."""

    blocks: int
    rows: int
    columns: int

    @property
    def pixels(self) -> int:
        return self.rows * self.columns

    @property
    def describe(self) -> str:
        """In words, for a kernel's comment."""
        return f"{self.blocks} channel block(s) of {self.rows} x {self.columns} pixels"

    def each_pixel(self) -> Iterator[tuple[int, int, int]]:
        """Number, row and column of every pixel."""
        for pixel in range(self.pixels):
            yield pixel, *divmod(pixel, self.columns)


def choose(
    device: Device, blocks: int, rows: int, columns: int, max_blocks: int = MAX_SUMS, max_rows: int = MAX_SUMS
) -> Tile:
    """The tile with the least time for a map of `rows` x `columns` vectors in `blocks` channel blocks.

    `max_blocks` is 1 where blocks share no input, `max_rows` where rows do not.
    """
    best: tuple[float, Tile] | None = None
    for depth in (d for d in range(1, min(blocks, max_blocks) + 1) if blocks % d == 0):
        for height in range(1, min(rows, max_rows) + 1):
            for width in range(1, min(columns, MAX_SUMS) + 1):
                tile = Tile(depth, height, width)
                if not fits(device, depth, tile.pixels):
                    continue
                count = (blocks // depth) * -(-rows // height) * -(-columns // width)
                cost = time(device, depth, tile.pixels, count)
                if best is None or cost < best[0]:
                    best = (cost, tile)
    return best[1] if best else Tile(1, 1, 1)


def fits(device: Device, vectors: int, scalars: int) -> bool:
    """Whether the outer product of `vectors` weights and `scalars` pixels can be held in registers.

    Live are the sums, the weights, and the pixels (on tile devices one broadcast pixel at a time).
    """
    sums = vectors * scalars
    return sums <= MAX_SUMS and sums + vectors + (1 if device.tile_items else scalars) <= device.registers


def time(device: Device, vectors: int, scalars: int, items: int) -> float:
    """Time of `items` tiles of `vectors` x `scalars` sums per summand, in issue slots.

    The model is a core with as many multiply-add as load pipelines. A SIMT device with few items idles.
    """
    multiplies, loads = vectors * scalars, vectors + scalars
    latency = LATENCY if device.tile_items else 0
    slots = max(multiplies, loads, latency, WEIGHT_SLOTS * vectors) + loads / 4
    return slots * (items if device.tile_items else max(items, MIN_ITEMS))


def grid(out: Blocked, tile: Tile) -> Grid:
    """Work-items: tiles across, tiles down, and images times groups of blocks."""
    return Grid(-(-out.w // tile.columns), -(-out.h // tile.rows), out.n * out.blocks // tile.blocks)


def locate(out: Blocked, tile: Tile) -> tuple[list[str], Position]:
    """Declarations of the coordinates of an item's tile, and their names.

    The last tile of a row or column starts early enough to be whole: the vectors that it shares with its neighbour
    are computed twice, alike.
    """
    lines: list[str] = []

    def coordinate(name: str, value: str) -> str:
        if value == "0":
            return "0"
        lines.append(f"const int {name} = {value};")
        return name

    def start(axis: int, extent: int, size: int) -> str:
        number = item(axis, -(-extent // size))
        if number == "0" or size == 1:
            return number
        return f"min({number} * {size}, {extent - size})" if extent % size else f"{number} * {size}"

    column = coordinate("column", start(0, out.w, tile.columns))
    row = coordinate("row", start(1, out.h, tile.rows))
    groups = out.blocks // tile.blocks
    depth = item(2, groups * out.n)
    image, group = "0", depth
    if out.n > 1:
        image = coordinate("image", f"{depth} / {groups}" if groups > 1 else depth)
        group = f"{depth} % {groups}" if groups > 1 else "0"
    block = coordinate("block", group if tile.blocks == 1 or group == "0" else f"{group} * {tile.blocks}")
    return lines, Position(image, block, row, column)


def stack(at: Position, tile: Tile) -> str:
    """The number of the tile's group of blocks: what packed weights are indexed by."""
    return at.block if tile.blocks == 1 or at.block == "0" else f"{at.block} / {tile.blocks}"
