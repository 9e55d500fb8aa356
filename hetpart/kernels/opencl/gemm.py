"""Matrix products of row-major data: what dense layers and products of two activations share.

A work-item computes `rows` x `vectors` sums, ``sum<row>_<vector>``, of `width` columns each. The last tile of a row or
column starts early enough to be whole: what it shares with its neighbour is computed twice, alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Plain
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import steps, tiles
from hetpart.kernels.opencl.grid import Grid, item
from hetpart.kernels.opencl.plain import RowOperand, RowVectors
from hetpart.kernels.opencl.stored import Stored
from hetpart.kernels.opencl.text import affine, for_range

MAX_VECTORS = 8


@dataclass(frozen=True)
class GemmTile:
    """The tile of an (m, n) matrix that one work-item computes, and how many such tiles there are.

    With `rows_first`, neighbouring items go down the rows and find the same weights in the cache; otherwise they go
    along the columns and read neighbouring weights in one access. `left` and `out` are the types that the left-hand
    side and the result are stored in.
    """

    m: int
    n: int
    rows: int
    vectors: int
    form: RowVectors
    rows_first: bool
    left: str
    out: str

    @staticmethod
    def choose(device: Device, m: int, n: int, batch: int, left: Plain, out: Plain) -> GemmTile:
        """The tile with the least time (see `tiles.time`) for `batch` matrices."""
        form = RowVectors.of(device, n)
        fitting = [
            GemmTile(m, n, rows, vectors, form, device.tile_items, left.dtype, out.dtype)
            for vectors in range(1, min(MAX_VECTORS, n // form.width) + 1)
            for rows in range(1, min(m, tiles.MAX_SUMS) + 1)
            if tiles.fits(device, vectors, rows)
        ]
        return min(fitting, key=lambda tile: tiles.time(device, tile.vectors, tile.rows, tile.count * batch))

    @property
    def width(self) -> int:
        return self.form.width

    @property
    def columns(self) -> int:
        return self.vectors * self.width

    @property
    def across(self) -> int:
        return -(-self.n // self.columns)

    @property
    def down(self) -> int:
        return -(-self.m // self.rows)

    @property
    def count(self) -> int:
        return self.across * self.down

    def grid(self, batch: int = 1) -> Grid:
        x, y = (self.down, self.across) if self.rows_first else (self.across, self.down)
        return Grid(x, y, batch)

    def locate(self) -> list[str]:
        """What `store` needs, and declarations of ``column`` and ``row``, the tile's first, and ``stripe``.

        The stripe is the tile's number along the columns.
        """
        down, across = (0, 1) if self.rows_first else (1, 0)
        stripe = "stripe" if self.across > 1 else "0"
        return [
            *self.form.declare(),
            f"const int stripe = {item(across, self.across)};",
            f"const int column = {_start(stripe, self.n, self.columns)};",
            f"const int row = {_start(item(down, self.down), self.m, self.rows)};",
        ]

    def declare(self, start: Callable[[int], str]) -> list[str]:
        """Declarations of the sums; `start` gives the first value of a vector of columns."""
        form = self.form.form
        lines = [f"const {form} start{v} = {start(v)};" for v in range(self.vectors)]
        for row in range(self.rows):
            lines.append(f"{form} " + ", ".join(f"sum{row}_{v} = start{v}" for v in range(self.vectors)) + ";")
        return lines

    def multiply(
        self, depth: int, weight: Callable[[int], str], advance: str, row_stride: int | None = None
    ) -> list[str]:
        """The loop over the `depth` summands. ``from`` points to the tile's first row; rows are `depth` or more apart.

        `weight` is the expression of a vector of columns of the right-hand side's current row, and `advance` the
        statement that goes on to the next row.
        """
        row_stride = depth if row_stride is None else row_stride
        x = Stored(self.left)
        body = [f"const {self.form.form} w{v} = {weight(v)};" for v in range(self.vectors)]
        for row in range(self.rows):
            body.append(f"const float x{row} = {x.read('from', affine([('k', 1)], row * row_stride))};")
            body += [f"sum{row}_{v} += x{row} * w{v};" for v in range(self.vectors)]
        return for_range("k", "0", str(depth), [*body, advance])

    def store(self, symbol: str, epilogue: Sequence[Step], operands: Sequence[RowOperand], row: str) -> list[str]:
        """Statements that apply the epilogue and store. `row` is the number of the tile's first row in the output."""
        lines = []
        for r in range(self.rows):
            lines.append(f"const int row{r} = {row} + {r};" if r else f"const int row0 = {row};")
            for v in range(self.vectors):
                column = affine([("column", 1)], v * self.width)
                values = [operand.load(f"row{r}", column, self.form) for operand in operands]
                value = steps.call(symbol, epilogue, f"sum{r}_{v}", values)
                lines.append(self.form.store(value, "out", f"row{r} * {self.n} + {column}", dtype=self.out))
        return lines


def _start(number: str, extent: int, size: int) -> str:
    """The first row or column of tile `number`."""
    if number == "0" or size == 1:
        return number
    return f"min({number} * {size}, {extent - size})" if extent % size else f"{number} * {size}"
