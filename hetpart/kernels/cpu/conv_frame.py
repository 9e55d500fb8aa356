"""What convolutions by register tiles share, in float32 and on integers: work items, loops over tiles, window checks.

A work item is one channel tile in one band of tile rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked
from hetpart.kernels.cpu.emit import Buffer, Expr, decode, zero_halo
from hetpart.kernels.cpu.tiles import Run, on_piece, piece_count
from hetpart.kernels.spec import ConvSpec, QConvSpec


@dataclass(frozen=True)
class Frame:
    """How the output is cut into work items and tiles.

    Attributes:
        out: the output; of a flattened convolution with a single column.
        parts: stretches of output blocks that read the same input channels: the groups, say.
        blocks: output blocks of one part.
        channel_tiles: these blocks in tiles.
        rows: output rows in tiles.
        columns: output columns in tiles.
        band: tile rows of one work item.
        channels_outer: whether channel tiles are the outer loop.
    """

    out: Blocked
    parts: int
    blocks: int
    channel_tiles: tuple[Run, ...]
    rows: tuple[Run, ...]
    columns: tuple[Run, ...]
    band: int
    channels_outer: bool

    @property
    def bands(self) -> int:
        return -(-piece_count(self.rows) // self.band)

    @property
    def extent(self) -> int:
        """Images x parts x channel tiles x bands."""
        return self.out.n * self.parts * piece_count(self.channel_tiles) * self.bands

    def item(self, item: Expr, emit: Callable[[Band], None]) -> None:
        """Emit work item number `item`: one copy of the code for each size of channel tile."""
        tiles = piece_count(self.channel_tiles)
        if self.channels_outer:
            image, part, tile, band = decode(item, (self.out.n, self.parts, tiles, self.bands))
        else:
            image, band, part, tile = decode(item, (self.out.n, self.bands, self.parts, tiles))
        on_piece(tile, self.channel_tiles, lambda first, vectors: emit(Band(self, image, part, first, vectors, band)))


@dataclass(frozen=True)
class Band:
    """Band number `number` of `vectors` channel blocks of `image`, from block `first` of `part` on."""

    frame: Frame
    image: Expr
    part: Expr
    first: Expr
    vectors: int
    number: Expr

    @property
    def block(self) -> Expr:
        """The first output block."""
        return self.part * self.frame.blocks + self.first

    def each_row(self, emit: Callable[[Expr, Expr, int], None]) -> None:
        """Emit a loop over the tile rows: ``emit(number in the band, first row, rows)``."""
        begin = self.number * self.frame.band
        end = T.min(begin + self.frame.band, piece_count(self.frame.rows))
        with T.serial(begin, end) as row:
            on_piece(row, self.frame.rows, lambda y, rows: emit(row - begin, y, rows))

    def zero_halo(self, out: Buffer, y: Expr, rows: int) -> None:
        """Emit what fills the halo beside, above and below `rows` rows from `y` on, if there is any."""
        if self.frame.out.halo:
            with T.serial(0, self.vectors) as v, T.serial(0, rows) as row:
                zero_halo(out, self.frame.out, self.image, self.block + v, y + row)


@dataclass
class Tile:
    """The channel blocks of `band` by `rows` and `columns` (first, count)."""

    band: Band
    rows: tuple[Expr, int]
    columns: tuple[Expr, int]

    @property
    def pixels(self) -> list[tuple[Expr, Expr]]:
        """(y, x) of each."""
        (y, rows), (x, columns) = self.rows, self.columns
        return [(y + dy, x + dx) for dy in range(rows) for dx in range(columns)]


def over_taps(kernel: tuple[int, int], body: Callable[[Expr, Expr, Expr], None]) -> None:
    """Emit ``body(tap, kh, kw)`` in loops over the kernel."""
    rows, columns = kernel
    with T.serial(0, rows) as kh, T.serial(0, columns) as kw:
        body(kh * columns + kw, kh, kw)


def check_windows(spec: ConvSpec | QConvSpec, kernel: tuple[int, int]) -> None:
    """Raise InternalError ``kernel-halo`` where windows of `kernel` taps reach beyond the halo of the input."""
    x, out = spec.x, spec.out
    reach = [
        (size - 1) * stride + (taps - 1) * dilation + 1 - pad
        for size, stride, taps, dilation, pad in zip(
            (out.h, out.w), spec.strides, kernel, spec.dilations, spec.pads[:2], strict=True
        )
    ]
    if (
        x.halo.top < spec.pads[0]
        or x.halo.left < spec.pads[1]
        or x.h + x.halo.bottom < reach[0]
        or x.w + x.halo.right < reach[1]
    ):
        raise InternalError("kernel-halo", f"windows of {spec} reach beyond the halo of the input")


def is_flat(spec: ConvSpec | QConvSpec, *operands: Blocked) -> bool:
    """Whether it is a 1x1 convolution of pixels that all lie side by side: no strides, no halo in any map."""
    plain = spec.kernel == (1, 1) and spec.strides == (1, 1) and not any(spec.pads)
    return plain and not any(m.halo for m in (spec.x, spec.out, *operands))


def in_one_column(m: Blocked) -> Blocked:
    """The layout of the same pixels, one below the other."""
    return replace(m, h=m.h * m.w, w=1)
