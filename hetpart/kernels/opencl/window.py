"""The input texels under the taps of a convolution in an image, with zeros for what lies outside of the map.

A row or column outside of the map becomes coordinate -1, for which the sampler gives zeros: a map's columns are
followed by those of its next channel block, so the edge of the image is not the edge of the map.
"""

from __future__ import annotations

from hetpart.graph.layout import Blocked
from hetpart.kernels.opencl.blocked import Position
from hetpart.kernels.opencl.text import SAMPLER, affine
from hetpart.kernels.opencl.tiles import Tile
from hetpart.kernels.spec import ConvSpec


def rows(spec: ConvSpec, at: Position, ky: str, tile: Tile) -> list[str]:
    """Declarations of ``v<row of the tile>``, the image row under kernel row `ky`."""
    return _axis(
        "v", spec, 0, affine([(at.row, spec.strides[0]), (ky, spec.dilations[0])]), tile.rows, [(at.image, spec.x.h)]
    )


def columns(spec: ConvSpec, at: Position, kx: str, tile: Tile) -> list[str]:
    """Declarations of ``u<column of the tile>``, the image column under kernel column `kx`.

    ``from`` is the first column of the input block.
    """
    moved = affine([(at.column, spec.strides[1]), (kx, spec.dilations[1])])
    return _axis("u", spec, 1, moved, tile.columns, [("from", 1)])


def read(row: int, column: int) -> str:
    """The texel under the tile's pixel in that row and column."""
    return f"read_imagef(x, {SAMPLER}, (int2)(u{column}, v{row}))"


def textured(rows: int, columns: int, limit: int) -> bool:
    """Whether constants of that many texels fit into an image."""
    return max(rows, columns) <= limit


def _axis(name: str, spec: ConvSpec, axis: int, moved: str, count: int, base: list[tuple[str, int]]) -> list[str]:
    """Declarations of the `count` coordinates of a tile along an axis, `base` being what is added inside of the map."""
    size, pad, stride = (spec.x.h, spec.x.w)[axis], spec.pads[axis], spec.strides[axis]
    inside = pad == 0 and _last(spec, axis) < size
    lines = []
    for number in range(count):
        place = affine([(moved, 1)], number * stride - pad)
        if inside:
            lines.append(f"const int {name}{number} = {affine([*base, (place, 1)])};")
        else:
            lines.append(f"const int {name}{number}_ = {place};")
            within = f"{name}{number}_ >= 0 && {name}{number}_ < {size}"
            lines.append(f"const int {name}{number} = {within} ? {affine([*base, (f'{name}{number}_', 1)])} : -1;")
    return lines


def _last(spec: ConvSpec, axis: int) -> int:
    """The last coordinate that any tap reaches."""
    out: Blocked = spec.out
    taps = (spec.kernel[axis] - 1) * spec.dilations[axis]
    return ((out.h, out.w)[axis] - 1) * spec.strides[axis] + taps - spec.pads[axis]
