"""Layout change by copy: row-major to blocked, blocked to row-major, blocked to blocked at a channel offset.

A work item is one image row of one channel block: of `out` where it is blocked, else of `x`. Where whole vectors
correspond the row is copied as vectors; otherwise lane by lane, each lane's channel being tested once per row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked, Layout
from hetpart.kernels.cpu.emit import Buffer, Expr, decode, plain_float32, range_kernel, zero_halo
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import RepackSpec


def extent(spec: RepackSpec, isa: Isa) -> int:
    """Image rows of the channel blocks that are touched (of `x` where `out` is row-major)."""
    n, _, h, _ = spec.x.shape
    return n * len(_touched_blocks(spec)) * h


def pack(spec: RepackSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """A copy has no constants."""
    return ()


def prim_func(spec: RepackSpec, isa: Isa, symbol: str) -> Any:
    """``(x, out, lo, hi)``."""
    _check(spec)
    blocks = _touched_blocks(spec)
    n, channels, h, w = spec.x.shape
    source, target = spec.x, spec.out

    def body(item: Expr, x: Buffer, out: Buffer) -> None:
        image, index, y = decode(item, (n, len(blocks), h))
        block = T.Bind(blocks.start + index)

        def copy(k: Expr, column: Expr) -> None:
            """Channel `k` of x at (image, y, column)."""
            value = x[_position(source, image, k, y, column)]
            T.buffer_store(out, value, _position(target, image, spec.channel + k, y, column))

        def copy_lanes() -> None:
            lanes = source.block if not isinstance(target, Blocked) else target.block
            first = block * lanes - (spec.channel if isinstance(target, Blocked) else 0)
            for lane in range(lanes):
                k = T.Bind(first + lane)
                with T.If(T.And(k >= 0, k < channels)), T.Then(), T.serial(0, w) as column:
                    copy(k, column)

        if isinstance(target, Blocked):
            zero_halo(out, target, image, block, y)
        if not _vectors_correspond(spec):
            copy_lanes()
            return
        whole = channels // target.block if _must_keep_spare_lanes(spec) else len(blocks)
        with T.If(index < whole):
            with T.Then(), T.serial(0, w) as column, T.vectorized(0, target.block) as v:
                copy(index * target.block + v, column)
            if whole < len(blocks):
                with T.Else():
                    copy_lanes()

    return range_kernel(symbol, (source, target), body)


def _check(spec: RepackSpec) -> None:
    x, out = spec.x, spec.out
    for layout in (x, out):
        if not isinstance(layout, Blocked):
            plain_float32(layout)
    (n, c, h, w), (out_n, out_c, out_h, out_w) = x.shape, out.shape
    blocked = isinstance(x, Blocked) or isinstance(out, Blocked)
    if not blocked or (n, h, w) != (out_n, out_h, out_w) or spec.channel < 0 or spec.channel + c > out_c:
        raise InternalError("kernel-layout", f"cannot copy {x} into {out} at channel {spec.channel}")


def _touched_blocks(spec: RepackSpec) -> range:
    if isinstance(spec.out, Blocked):
        last = spec.channel + spec.x.shape[1] - 1
        return range(spec.channel // spec.out.block, last // spec.out.block + 1)
    return range(spec.x.blocks)


def _vectors_correspond(spec: RepackSpec) -> bool:
    """Whether every block of x lands in exactly one block of out."""
    x, out = spec.x, spec.out
    return isinstance(x, Blocked) and isinstance(out, Blocked) and x.block == out.block and not spec.channel % out.block


def _must_keep_spare_lanes(spec: RepackSpec) -> bool:
    """Whether the lanes after x's last channel belong to another producer."""
    c = spec.x.shape[1]
    return c % spec.out.block != 0 and spec.channel + c < spec.out.shape[1]


def _position(layout: Layout, image: Expr, channel: Expr, y: Expr, x: Expr) -> tuple[Expr, ...]:
    if not isinstance(layout, Blocked):
        return image, channel, y, x
    return image, channel // layout.block, layout.halo.top + y, layout.halo.left + x, channel % layout.block
