"""Layout change by copy: row-major to blocked, blocked to row-major, blocked to blocked at a channel offset.

A work item is one image row of one channel block: of `out` where it is blocked, else of `x`. Where whole vectors
correspond the row is copied as vectors; otherwise lane by lane, each lane's channel being tested once per row. To and
from NHWC, a work item is one image row of all channels, cut into vectors of the blocked side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked, Layout
from hetpart.kernels.cpu.emit import Buffer, Expr, decode, range_kernel, view, zero_halo
from hetpart.kernels.cpu.vectors import cast, power_of_two_pieces, vector
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import RepackSpec


def extent(spec: RepackSpec, isa: Isa) -> int:
    """Image rows of the channel blocks that are touched (of `x` where `out` is row-major)."""
    n, _, h, _ = spec.maps[0].shape
    return n * h if spec.nhwc else n * len(_touched_blocks(spec)) * h


def pack(spec: RepackSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """A copy has no constants."""
    return ()


def prim_func(spec: RepackSpec, isa: Isa, symbol: str) -> Any:
    """``(x, out, lo, hi)``."""
    _check(spec)
    if spec.nhwc:
        return _nhwc_func(spec, symbol)
    blocks = _touched_blocks(spec)
    n, channels, h, w = spec.x.shape
    source, target = spec.x, spec.out
    first_channel = spec.channel if isinstance(target, Blocked) else 0

    def body(item: Expr, x: Buffer, out: Buffer) -> None:
        image, index, y = decode(item, (n, len(blocks), h))
        block = T.Bind(blocks.start + index)

        def copy_lanes(lanes: int) -> None:
            """The channels of `block` one after the other, as far as x has them."""
            for lane in range(lanes):
                k = T.Bind(block * lanes + lane - first_channel)
                with T.If(T.And(k >= 0, k < channels)), T.Then(), T.serial(0, w) as column:
                    value = x[_position(source, image, k, y, column)]
                    value = cast(value, target.dtype)
                    T.buffer_store(out, value, _position(target, image, spec.channel + k, y, column))

        if not isinstance(target, Blocked):
            copy_lanes(_block_of(spec))
            return
        zero_halo(out, target, image, block, y)
        if not (isinstance(source, Blocked) and _vectors_correspond(source, target, spec.channel)):
            copy_lanes(target.block)
            return
        # lanes after x's last channel may belong to another producer
        shared = channels % target.block != 0 and spec.channel + channels < target.c
        whole = len(blocks) - 1 if shared else len(blocks)
        with T.If(index < whole):
            with T.Then(), T.serial(0, w) as column, T.vectorized(0, target.block) as v:
                value = x[image, index, source.halo.top + y, source.halo.left + column, v]
                value = cast(value, target.dtype)
                T.buffer_store(out, value, [image, block, target.halo.top + y, target.halo.left + column, v])
            if shared:
                with T.Else():
                    copy_lanes(target.block)

    return range_kernel(symbol, (source, target), body)


def _nhwc_func(spec: RepackSpec, symbol: str) -> Any:
    x, out = spec.maps
    if not isinstance(x, Blocked) or not isinstance(out, Blocked):
        raise InternalError("kernel-layout", f"NHWC to or from {spec.x} and {spec.out}")
    size = min(x.block, out.block)
    full, tail = divmod(x.c, size)

    def body(item: Expr, *buffers: Buffer) -> None:
        source, target = (view(buffer, layout) for buffer, layout in zip(buffers, (x, out), strict=True))
        image, y = decode(item, (x.n, x.h))
        with T.serial(0, out.blocks) as block:
            zero_halo(target, out, image, block, y)

        def copy(first: Expr, column: Expr, width: int) -> None:
            value = source[_vector_position(x, image, first, y, column, width)]
            T.buffer_store(target, cast(value, out.dtype), _vector_position(out, image, first, y, column, width))

        with T.serial(0, x.w) as column:
            if full:
                with T.serial(0, full) as number:
                    copy(number * size, column, size)
            done = full * size
            for width in power_of_two_pieces(tail):
                copy(done, column, width)
                done += width

    return range_kernel(symbol, (spec.x, spec.out), body)


def _vector_position(layout: Blocked, image: Expr, first: Expr, y: Expr, x: Expr, width: int) -> list[Expr]:
    """Indices of `width` channels from `first` on, which lie in one block."""
    block, lane = (0, first) if layout.blocks == 1 else (first // layout.block, first % layout.block)
    return [image, block, layout.halo.top + y, layout.halo.left + x, vector(width, lane)]


def _check(spec: RepackSpec) -> None:
    x, out = spec.maps
    real = {x.dtype, out.dtype} <= {"float32", "float16"}
    if not real and (x.dtype != out.dtype or x.dtype not in ("int8", "uint8")):
        raise InternalError("kernel-layout", f"a copy changes no type but between float32 and float16: {x} to {out}")
    (n, c, h, w), (out_n, out_c, out_h, out_w) = x.shape, out.shape
    blocked = isinstance(x, Blocked) or isinstance(out, Blocked)
    if not blocked or (n, h, w) != (out_n, out_h, out_w) or spec.channel < 0 or spec.channel + c > out_c:
        raise InternalError("kernel-layout", f"cannot copy {x} into {out} at channel {spec.channel}")


def _block_of(spec: RepackSpec) -> int:
    """Channels per work item."""
    blocked = next(layout for layout in (spec.out, spec.x) if isinstance(layout, Blocked))
    return blocked.block


def _touched_blocks(spec: RepackSpec) -> range:
    """Blocks of `out` that x goes to, or the blocks of x where `out` is row-major."""
    first = spec.channel if isinstance(spec.out, Blocked) else 0
    last = first + spec.x.shape[1] - 1
    return range(first // _block_of(spec), last // _block_of(spec) + 1)


def _vectors_correspond(x: Blocked, out: Blocked, channel: int) -> bool:
    """Whether every block of x lands in exactly one block of out."""
    return x.block == out.block and channel % out.block == 0


def _position(layout: Layout, image: Expr, channel: Expr, y: Expr, x: Expr) -> tuple[Expr, ...]:
    if not isinstance(layout, Blocked):
        return image, channel, y, x
    return image, channel // layout.block, layout.halo.top + y, layout.halo.left + x, channel % layout.block
