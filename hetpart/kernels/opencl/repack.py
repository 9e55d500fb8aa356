"""Layout changes by copy, also into a range of channels of a wider map (concatenation).

A work-item copies one row (SIMT: one pixel) of one channel block of the blocked side. It writes only lanes of its own
channels: the others of a shared block belong to another input of the concatenation. Images, which are read and written
by whole texels, can only be copied to whole blocks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked, Image, Layout
from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl.blocked import Position, argument, clear_halo, describe, load, store, strides
from hetpart.kernels.opencl.grid import Grid, item
from hetpart.kernels.opencl.stored import Stored
from hetpart.kernels.opencl.text import affine, for_range, indent, kernel, vector
from hetpart.kernels.spec import RepackSpec


def source(spec: RepackSpec, device: Device, symbol: str) -> str:
    spec = _of_maps(spec)
    _check(spec)
    side, blocks = _side(spec), _blocks(spec)
    grid = _grid(spec, device)
    n = side.n
    depth = item(2, n * len(blocks))
    image, number = "0", depth
    lines = []
    if n > 1:
        image, number = "image", f"{depth} % {len(blocks)}" if len(blocks) > 1 else "0"
        lines.append(f"const int image = {f'{depth} / {len(blocks)}' if len(blocks) > 1 else depth};")
    lines.append(f"const int block = {affine([(number, 1)], blocks.start)};")
    lines.append(f"const int row = {item(1, side.h)};")
    columns = 1 if grid.x > 1 else side.w
    if columns == 1:
        lines.append(f"const int column = {item(0, side.w)};")
    at = Position(image, "block", "row", "column")
    copy = _copy(spec, at)
    body = [
        *grid.guard(device),
        *lines,
        *(copy if columns == 1 else for_range("column", "0", str(side.w), copy)),
    ]
    if isinstance(spec.out, Blocked) and spec.out.halo:
        start = at if columns == 1 else Position(image, "block", "row", "0")
        body += clear_halo(spec.out, start, 1, 1, columns, name=_vectors_of(spec.out, "out"))
    comment = [f"{symbol}: copies x {_describe(spec.x)} to channel {spec.channel} of out {_describe(spec.out)}."]
    return kernel(symbol, comment, [_argument("x", spec.x), _argument("out", spec.out, written=True)], body)


def launch(spec: RepackSpec, device: Device) -> Launch:
    return _grid(_of_maps(spec), device).launch(device)


def pack(spec: RepackSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return ()


def _of_maps(spec: RepackSpec) -> RepackSpec:
    """The same copy between its maps: kernels see bytes only."""
    x, out = spec.maps
    return RepackSpec(x, out, spec.channel)


def _side(spec: RepackSpec) -> Blocked:
    """The blocked map whose blocks are distributed over the work-items."""
    return spec.out if isinstance(spec.out, Blocked) else _blocked(spec.x)


def _blocked(layout: Layout) -> Blocked:
    if not isinstance(layout, Blocked):
        raise InternalError("kernel-layout", f"{layout} has no blocked partner")
    return layout


def _channels(layout: Layout, side: Blocked) -> int:
    return layout.c if isinstance(layout, Blocked) else math.prod(layout.shape) // (side.n * side.h * side.w)


def _blocks(spec: RepackSpec) -> range:
    """Blocks of the blocked side that hold channels of x."""
    side = _side(spec)
    if side is spec.out:
        last = spec.channel + _channels(spec.x, side) - 1
        return range(spec.channel // side.block, last // side.block + 1)
    return range(side.blocks)


def _grid(spec: RepackSpec, device: Device) -> Grid:
    side = _side(spec)
    return Grid(1 if device.tile_items else side.w, side.h, side.n * len(_blocks(spec)))


def _check(spec: RepackSpec) -> None:
    side = _side(spec)
    for layout in (spec.x, spec.out):
        if isinstance(layout, Blocked):
            fits = (layout.n, layout.h, layout.w) == (side.n, side.h, side.w)
        else:
            fits = math.prod(layout.shape) % (side.n * side.h * side.w) == 0
        if not fits:
            raise InternalError("kernel-layout", f"cannot copy {spec.x} into {spec.out}")
    if spec.channel < 0 or spec.channel + _channels(spec.x, side) > _channels(spec.out, side):
        raise InternalError("kernel-layout", f"{spec.x} does not fit into {spec.out} at channel {spec.channel}")


def _copy(spec: RepackSpec, at: Position) -> list[str]:
    """Statements that copy the channels of block ``block`` at one pixel."""
    side = _side(spec)
    count = _channels(spec.x, side)
    # channel of x that lies in lane 0 of the block
    first = affine([("block", side.block)], -spec.channel if side is spec.out else 0)
    into = spec.channel
    spare_is_ours = into + count == _channels(spec.out, side)
    whole_blocks = spare_is_ours or count % side.block == 0
    if isinstance(spec.x, Image) or isinstance(spec.out, Image) or (_half(side) and _fits(spec) and whole_blocks):
        return _gathered(spec, at, whole=whole_blocks)
    if isinstance(spec.x, Blocked) and isinstance(spec.out, Blocked) and _aligned(spec.x, spec.out, into):
        number = f"(block - {into // side.block})" if into else "block"  # of x
        whole = _write(spec.out, at, _read(spec.x, replace(at, block=number)))
        if whole_blocks:
            return [whole]
        last = _blocks(spec).stop - 1
        return [f"if (block < {last}) {whole}", "else {", *indent(_lanes(spec, at, first)), "}"]
    return _lanes(spec, at, first)


def _argument(name: str, layout: Layout, *, written: bool = False) -> str:
    """Buffers are declared as arrays of numbers."""
    if isinstance(layout, Image):
        return argument(name, layout, written=written)
    return Stored(layout.dtype).argument(name, written=written)


def _vectors_of(layout: Blocked, name: str) -> str:
    """`name`, which points to numbers, as pointer to vectors."""
    if isinstance(layout, Image) or layout.dtype == "float16":
        return name
    return f"((__global {vector(layout.block)}*){name})"


def _half(layout: Layout) -> bool:
    return layout.dtype == "float16"


def _fits(spec: RepackSpec) -> bool:
    """Whether every block of x lands in one block of `out`, by vectors that there are."""
    side = _side(spec)
    return (
        spec.channel % side.block == 0
        and side.block in (2, 4, 8, 16)
        and not (isinstance(spec.x, Blocked) and spec.x.block != side.block)
        and not (isinstance(spec.out, Blocked) and spec.out.block != side.block)
    )


def _gathered(spec: RepackSpec, at: Position, *, whole: bool) -> list[str]:
    """As `_copy`, by whole vectors. Where one side is row-major, its elements are gathered or scattered."""
    x, out, side = spec.x, spec.out, _side(spec)
    if not whole or not _fits(spec):
        raise InternalError("kernel-layout", f"cannot copy {x} by vectors into {out} at channel {spec.channel}")
    number = f"(block - {spec.channel // side.block})" if spec.channel else "block"  # of x
    lanes = [(lane, f"({number} * {side.block} + {lane})") for lane in range(side.block)]
    count = _channels(x, side)
    sure = count % side.block or side.block  # lanes that every block has
    if not isinstance(x, Blocked):
        values = [Stored(x.dtype).read("x", _element(x, side, at, k)) for _, k in lanes]
        values = [
            v if lane < sure else f"{k} < {count} ? {v} : 0.0f" for (lane, k), v in zip(lanes, values, strict=True)
        ]
        lines = [f"const float lane{lane} = {value};" for lane, value in enumerate(values)]
        names = ", ".join(f"lane{lane}" for lane in range(side.block))
        return [*lines, store("out", side, at, f"({vector(side.block)})({names})")]
    read = _read(x, replace(at, block=number))
    if isinstance(out, Blocked):
        return [_write(out, at, read)]
    lines = [f"const {vector(side.block)} v = {read};"]
    for lane, k in lanes:
        guard = "" if lane < sure else f"if ({k} < {count}) "
        lines.append(guard + Stored(out.dtype).write("out", _element(out, side, at, k), f"v.s{lane:x}"))
    return lines


def _read(x: Blocked, at: Position) -> str:
    return load(_vectors_of(x, "x").replace("__global", "__global const"), x, at)


def _write(out: Blocked, at: Position, value: str) -> str:
    return store(_vectors_of(out, "out"), out, at, value)


def _lanes(spec: RepackSpec, at: Position, first: str) -> list[str]:
    side = _side(spec)
    count = _channels(spec.x, side)
    source = _element(spec.x, side, at, "k")
    target = _element(spec.out, side, at, "k" if spec.channel == 0 else f"(k + {spec.channel})")
    start, stop = f"max(0, {first})", f"min({count}, {first} + {side.block})"
    copy = Stored(spec.out.dtype).write("out", target, Stored(spec.x.dtype).read("x", source))
    return for_range("k", start, stop, [copy])


def _aligned(x: Blocked, out: Blocked, channel: int) -> bool:
    """Whether every block of x lands in exactly one block of out, as a vector."""
    return x.block == out.block > 1 and channel % out.block == 0


def _element(layout: Layout, side: Blocked, at: Position, channel: str) -> str:
    """Offset, in numbers, of a channel (a name, or a sum in parentheses) of `layout` at pixel `at`."""
    if isinstance(layout, Blocked):
        layout = layout.stored
        image, row, column = (stride * layout.block for stride in strides(layout))
        plane = layout.rows * layout.columns * layout.block
        origin = layout.halo.top * row + layout.halo.left * column
        return affine(
            [
                (at.image, image),
                (f"{channel} / {layout.block}", plane),
                (f"{channel} % {layout.block}", 1),
                (at.row, row),
                (at.column, column),
            ],
            origin,
        )
    area = side.h * side.w
    channels = _channels(layout, side)
    return affine(
        [(at.image, channels * area), (channel, area), (at.row, side.w), (at.column, 1)],
    )


def _describe(layout: Layout) -> str:
    shape = " x ".join(map(str, layout.shape))
    return describe(layout) if isinstance(layout, Blocked) else f"{shape} in rows"
