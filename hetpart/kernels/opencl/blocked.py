"""Addresses in channel-blocked maps, how a vector there is read and written, and the halo that every producer clears.

Indices count vectors of one channel block (see hetpart.graph.layout.Blocked), not floats. A map lies in a buffer of
float32 or float16, or in an image; kernels compute in float32, and nothing but this file knows the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked, Image, Split
from hetpart.kernels.opencl.stored import Stored
from hetpart.kernels.opencl.text import SAMPLER, affine, const_in, indent, loop, vector


@dataclass(frozen=True)
class Position:
    """The C names (or ``0``) of an image, channel block, row and column."""

    image: str
    block: str
    row: str
    column: str


def named(at: Position) -> tuple[Position, list[str]]:
    """`at` with names for its image and block, and the declarations of these."""
    lines = [f"const int image = {at.image};", f"const int block = {at.block};"]
    return Position("image", "block", at.row, at.column), lines


def strides(layout: Blocked) -> tuple[int, int, int]:
    """Vectors from one image, row and column to the next."""
    column = layout.stored.block // layout.block
    return layout.stored.blocks * layout.rows * layout.columns * column, layout.columns * column, column


def block_terms(layout: Blocked, numbers: Sequence[str], scale: int = 1) -> list[tuple[str, int]]:
    """Terms of the offset of the channel block whose number is the sum of `numbers`, in 1 / `scale` vectors."""
    plane = layout.rows * layout.columns * scale
    if not isinstance(layout, Split):
        return [(number, plane) for number in numbers]
    number = affine([(number, 1) for number in numbers])
    if number.isdecimal():
        whole, part = (str(place) for place in divmod(int(number), layout.parts))
    else:
        whole, part = f"({number}) / {layout.parts}", f"({number}) % {layout.parts}"
    return [(whole, plane * layout.parts), (part, scale)]


def index(layout: Blocked, at: Position, shift: tuple[int, int, int] = (0, 0, 0)) -> str:
    """Index of the vector at `at`, moved by `shift` blocks, rows and columns."""
    return _index(layout, at, (at.block, str(shift[0])), shift[1:])


def _index(layout: Blocked, at: Position, blocks: Sequence[str], shift: tuple[int, ...] = (0, 0)) -> str:
    image, row, column = strides(layout)
    origin = (layout.halo.top + shift[0]) * row + (layout.halo.left + shift[1]) * column
    terms = [(at.image, image), *block_terms(layout, blocks), (at.row, row), (at.column, column)]
    return affine(terms, origin)


def texel(layout: Image, at: Position, shift: tuple[int, int, int] = (0, 0, 0)) -> str:
    """Coordinates in the image of the vector at `at`, moved by `shift` blocks, rows and columns."""
    column = affine([(at.block, layout.w), (at.column, 1)], (layout.first + shift[0]) * layout.w + shift[2])
    return f"(int2)({column}, {affine([(at.image, layout.h), (at.row, 1)], shift[1])})"


def argument(name: str, layout: Blocked, *, written: bool = False) -> str:
    """Declaration of the argument through which a kernel reads, or writes, a map."""
    if isinstance(layout, Image):
        return f"{'__write_only' if written else '__read_only'} image2d_t {name}"
    return Stored(layout.dtype, layout.block).argument(name, written=written)


def load(name: str, layout: Blocked, at: Position, shift: tuple[int, int, int] = (0, 0, 0)) -> str:
    """The vector at `at`, moved by `shift` blocks, rows and columns."""
    if isinstance(layout, Image):
        return f"read_imagef({name}, {SAMPLER}, {texel(layout, at, shift)})"
    return Stored(layout.dtype, layout.block).read(name, index(layout, at, shift))


def store(name: str, layout: Blocked, at: Position, value: str, shift: tuple[int, int, int] = (0, 0, 0)) -> str:
    """The statement that writes a vector there."""
    if isinstance(layout, Image):
        return f"write_imagef({name}, {texel(layout, at, shift)}, {value});"
    return Stored(layout.dtype, layout.block).write(name, index(layout, at, shift), value)


def describe(layout: Blocked) -> str:
    """Size and blocking of a map, for a kernel's comment."""
    where = " in an image" if isinstance(layout, Image) else f" in blocks of {layout.stored.block}"
    stored = f" of {layout.dtype}" if layout.dtype != "float32" else ""
    return f"{layout.n} x {layout.c} x {layout.h} x {layout.w}{where}{stored}"


@dataclass(frozen=True)
class Operand:
    """An epilogue operand of a blocked output; broadcasts where its n, h or w is 1, and where its c is 1."""

    layout: Blocked
    out: Blocked
    name: str

    def __post_init__(self) -> None:
        one = self.layout
        if one.block != self.out.block or any(
            size not in (1, wanted) for size, wanted in zip(one.shape, self.out.shape, strict=True)
        ):
            raise InternalError("operand-layout", f"{one} does not broadcast to {self.out}")

    @property
    def scalar(self) -> bool:
        """Whether lane 0 stands for all channels."""
        return self.layout.c == 1 and self.out.c > 1

    @property
    def argument(self) -> str:
        """Its declaration; what stands for all channels is read by the element."""
        if self.scalar and not isinstance(self.layout, Image) and self.layout.dtype == "float32":
            return const_in(self.name)
        return argument(self.name, self.layout)

    def load(self, at: Position, shift: tuple[int, int, int] = (0, 0, 0)) -> str:
        """The vector of `out`'s block that belongs to `at`, moved by `shift` blocks, rows and columns."""
        n, c, h, w = self.layout.shape
        place = Position(
            at.image if n > 1 else "0",
            at.block if c > 1 else "0",
            at.row if h > 1 else "0",
            at.column if w > 1 else "0",
        )
        moved = (shift[0] if c > 1 else 0, shift[1] if h > 1 else 0, shift[2] if w > 1 else 0)
        if not self.scalar:
            return load(self.name, self.layout, place, moved)
        lanes = self.layout.block
        if isinstance(self.layout, Image) or self.layout.dtype == "float16":
            return f"({vector(lanes)})({load(self.name, self.layout, place, moved)}.s0)"
        image, row, column = (step * lanes for step in strides(self.layout))
        origin = (self.layout.halo.top + moved[1]) * row + (self.layout.halo.left + moved[2]) * column
        lane0 = affine([(place.image, image), (place.row, row), (place.column, column)], origin)
        return f"({vector(lanes)})({self.name}[{lane0}])"


def clear_halo(out: Blocked, at: Position, blocks: int, rows: int, columns: int, name: str = "out") -> list[str]:
    """Statements that clear the halo beside the tile of `blocks` x `rows` x `columns` vectors at `at`.

    Every item does this for its own tile; together they clear the whole halo. `name` points to vectors.
    """
    halo = out.halo
    if not halo:
        return []
    edges = [
        (halo.top and rows < out.h, f"{at.row} == 0"),
        (halo.bottom and rows < out.h, f"{at.row} == {out.h - rows}"),
        (halo.left and columns < out.w, f"{at.column} == 0"),
        (halo.right and columns < out.w, f"{at.column} == {out.w - columns}"),
    ]
    outside = [
        (halo.top, "line < 0"),
        (halo.bottom, f"line >= {out.h}"),
        (halo.left, "place < 0"),
        (halo.right, f"place >= {out.w}"),
    ]
    at_edge = [condition for wanted, condition in edges if wanted]
    in_halo = " || ".join(condition for wanted, condition in outside if wanted)
    y0, y1 = _extended(at.row, rows, out.h, halo.top, halo.bottom)
    x0, x1 = _extended(at.column, columns, out.w, halo.left, halo.right)

    def clear(block: str) -> list[str]:
        number = _index(out, Position(at.image, at.block, "line", "place"), (at.block, block))
        zeros = Stored(out.dtype, out.block).write(name, number, f"({vector(out.block)})(0.0f)")
        return [f"if ({in_halo}) {zeros}"]

    lines = [
        f"for (int line = {y0}; line < {y1}; line++)",
        *indent([f"for (int place = {x0}; place < {x1}; place++)", *indent(loop("i", blocks, clear))]),
    ]
    always = (rows == out.h and (halo.top or halo.bottom)) or (columns == out.w and (halo.left or halo.right))
    if at_edge and not always:
        lines = [f"if ({' || '.join(at_edge)})", *indent(lines)]
    return ["// At the edge of the map: clear the halo too.", *lines]


def _extended(name: str, size: int, extent: int, before: int, after: int) -> tuple[str, str]:
    """First and last + 1 coordinate of a tile, halo included where the tile touches the edge."""
    if size == extent:
        return str(-before), str(extent + after)
    start = f"{name} == 0 ? {-before} : {name}" if before else name
    stop = f"{name} + {size}"
    return start, (f"({name} == {extent - size} ? {extent + after} : {stop})" if after else stop)
