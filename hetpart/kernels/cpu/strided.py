"""Loops over row-major tensors with broadcasting and permutation, and how they are cut into work items.

A `Nest` is a list of loops with the stride, in elements, of every tensor in every loop. Loops that all tensors walk
as one are merged, so a broadcast addition of two equal shapes is a single loop, and an NHWC to NCHW permutation two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tvm.tirx.script.builder import ir as T

from hetpart.kernels.cpu.emit import Expr, decode
from hetpart.kernels.strides import broadcast_strides, row_major_strides

ITEM_ELEMENTS = 2048
"""Aim of one work item: large against its overhead, small enough to share."""

SHARE_GRAIN = 64
"""Long rows are cut at multiples of this, so that pieces start on whole vectors and cache lines."""


@dataclass(frozen=True)
class Nest:
    """Loops, outermost first, and ``strides[tensor][loop]``; a stride of 0 repeats the element."""

    extents: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]

    @property
    def row_length(self) -> int:
        """Extent of the innermost loop."""
        return self.extents[-1]

    @property
    def rows(self) -> int:
        return math.prod(self.extents[:-1])

    @property
    def share(self) -> int:
        """Elements of a row that one work item does; the last of a long row takes the remainder as well."""
        pieces = max(1, self.row_length // ITEM_ELEMENTS)
        return self.row_length if pieces == 1 else -(-self.row_length // pieces // SHARE_GRAIN) * SHARE_GRAIN

    @property
    def pieces(self) -> int:
        """Work items per row, where rows are long; none is shorter than `share`."""
        return max(1, self.row_length // max(1, self.share))

    @property
    def rows_per_item(self) -> int:
        """Rows per work item, where rows are short."""
        return max(1, min(self.rows, ITEM_ELEMENTS // max(1, self.row_length)))

    @property
    def items(self) -> int:
        return -(-self.rows // self.rows_per_item) * self.pieces


def collapse(extents: Sequence[int], strides: Sequence[Sequence[int]]) -> Nest:
    """The shortest nest that visits the same elements in the same order."""
    loops = [(extent, tuple(s[i] for s in strides)) for i, extent in enumerate(extents) if extent != 1]
    merged: list[tuple[int, tuple[int, ...]]] = []
    for extent, steps in loops:
        if merged:
            outer_extent, outer_steps = merged[-1]
            if all(outer == step * extent for outer, step in zip(outer_steps, steps, strict=True)):
                merged[-1] = (outer_extent * extent, steps)
                continue
        merged.append((extent, steps))
    if not merged:
        merged = [(1, (0,) * len(strides))]
    return Nest(tuple(e for e, _ in merged), tuple(tuple(s[i] for _, s in merged) for i in range(len(strides))))


def broadcast_nest(out: Sequence[int], shapes: Sequence[Sequence[int]]) -> Nest:
    """Loops over `out` (tensor 0) and tensors of `shapes` that broadcast to it by ONNX's rules."""
    return collapse(out, [row_major_strides(out), *(broadcast_strides(shape, out) for shape in shapes)])


def for_each_run(item: Expr, nest: Nest, body: Callable[[list[Expr], Expr], None]) -> None:
    """Emit ``body(offsets, length)`` for each stretch of a row in work item `item`; one offset per tensor."""
    group, piece = decode(item, (nest.items // nest.pieces, nest.pieces))
    first = group * nest.rows_per_item
    begin = piece * nest.share
    length: Expr = nest.row_length
    if nest.pieces > 1:
        length = T.Bind(T.Select(piece < nest.pieces - 1, nest.share, nest.row_length - begin))
    with T.serial(0, T.min(nest.rows_per_item, nest.rows - first)) as r:
        coordinates = [*(decode(first + r, nest.extents[:-1]) if len(nest.extents) > 1 else []), begin]
        offsets = []
        for strides in nest.strides:
            offset: Expr = 0
            for coordinate, stride in zip(coordinates, strides, strict=True):
                offset = offset + coordinate * stride
            offsets.append(offset)
        body(offsets, length)
