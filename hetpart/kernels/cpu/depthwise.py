"""Convolutions whose output lanes see different input channels: depthwise, and groups narrower than a channel block.

A tile is one output channel block by a few pixels of a row. Where every lane finds its inputs in its own block, a
multiply-add takes one vector of inputs with one channel per lane: the stored block if depthwise, a permutation of it in
groups that are as wide in as out and do not straddle blocks (ResNeXt). Anywhere else the groups that meet in a block
are computed one after the other for all lanes, and each lane keeps the result of its own. A work item is a few rows of
one channel block.

This is the part of hetpart.kernels.cpu.conv for which `suits` holds; the specs have been checked there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.graph.layout import Plain
from hetpart.kernels.cpu.conv_plan import HALF_LONGEST
from hetpart.kernels.cpu.emit import Buffer, Expr, decode, range_kernel, zero_halo
from hetpart.kernels.cpu.packing import pack_bias
from hetpart.kernels.cpu.steps import finish
from hetpart.kernels.cpu.tiles import each_piece, even_runs
from hetpart.kernels.cpu.vectors import Accumulators, operand_vector, splat, vector, zeros
from hetpart.kernels.half import as_stored
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import ConvSpec

ITEM_PIXELS = 64
"""Pixels of one work item, about: finding the place of an item costs as much as a few multiply-adds."""

UNROLL = 128
"""Multiply-adds in an unrolled loop body, at most."""


def suits(spec: ConvSpec) -> bool:
    """Whether an output block takes inputs of more than one group."""
    return spec.group > 1 and (spec.out.c // spec.group) % spec.out.block != 0


def extent(spec: ConvSpec, isa: Isa) -> int:
    """Images x channel blocks x bands of rows."""
    return spec.out.n * spec.out.blocks * -(-spec.out.h // _band(spec))


def pack(spec: ConvSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Weights (blocks, kh, kw, channels of a group, lanes), spare lanes zero; then the bias."""
    out = spec.out
    w = np.asarray(constants["w"], np.float32)
    w = np.pad(w, ((0, out.blocks * out.block - out.c), (0, 0), (0, 0), (0, 0)))
    packed = w.reshape(out.blocks, out.block, *w.shape[1:]).transpose(0, 3, 4, 2, 1)
    weights = as_stored(np.ascontiguousarray(packed), out.dtype)
    return (weights, *pack_bias(constants, out.blocks * out.block, out.dtype))


def prim_func(spec: ConvSpec, isa: Isa, symbol: str) -> Any:
    """``(x, operands..., w[, b], out, lo, hi)``."""
    out = spec.out
    constants = [Plain((out.blocks, *spec.kernel, spec.x.c // spec.group, out.block), out.dtype)]
    if spec.bias:
        constants.append(Plain((out.blocks * out.block,), out.dtype))
    element = "float32" if spec.macs // math.prod(out.shape) > HALF_LONGEST else out.dtype
    columns = even_runs(out.w, _tile_pixels(out.w, isa))
    band = _band(spec)

    def body(item: Expr, x: Buffer, *rest: Buffer) -> None:
        operands, rest = rest[: len(spec.operands)], rest[len(spec.operands) :]
        w, b, result = rest[0], rest[1] if spec.bias else None, rest[-1]
        image, block, first = decode(item, (out.n, out.blocks, -(-out.h // band)))

        def tile(y: Expr, column: Expr, pixels: int) -> None:
            acc = Accumulators([out.block], pixels, element)
            acc.fill([zeros(out.block, element) if b is None else b[vector(out.block, block * out.block)]])
            _Tile(spec, isa, x, w, image, block, y, column).add_products(acc)
            for p in range(pixels):
                value = finish(
                    spec.steps,
                    acc.get(0, p),
                    lambda i, at=column + p: operand_vector(  # type: ignore[misc]  # a default cannot be annotated
                        operands[i], spec.operands[i], image, block, y, at, out.block
                    ),
                    out.dtype,
                    isa,
                )
                place = [image, block, out.halo.top + y, out.halo.left + column + p, vector(out.block)]
                T.buffer_store(result, value, place)

        with T.serial(first * band, T.min(first * band + band, out.h)) as y:
            each_piece(columns, lambda column, pixels: tile(y, column, pixels))
            zero_halo(result, out, image, block, y)

    return range_kernel(symbol, (spec.x, *spec.operands, *constants, out), body, unrolled=True)


def _tile_pixels(width: int, isa: Isa) -> int:
    """Most pixels of a tile. NEON's registers hold 14: on a Cortex-A76 eight sums in flight just hide the latency."""
    return 14 if isa.triple.startswith("aarch64") and width <= 14 else isa.registers // 4


def _band(spec: ConvSpec) -> int:
    return min(spec.out.h, -(-ITEM_PIXELS // spec.out.w))


@dataclass
class _Tile:
    """The reduction for some pixels of row `y` from `column` on, in one channel block of one image."""

    spec: ConvSpec
    isa: Isa
    x: Buffer
    w: Buffer
    image: Expr
    block: Expr
    y: Expr
    column: Expr

    @property
    def inputs(self) -> int:
        """Input channels of a group."""
        return self.spec.x.c // self.spec.group

    @property
    def outputs(self) -> int:
        """Output channels of a group."""
        return self.spec.out.c // self.spec.group

    def add_products(self, acc: Accumulators) -> None:
        lanes = self.spec.out.block
        in_block = self.inputs == self.outputs and self.spec.x.block == lanes and lanes % self.outputs == 0
        if in_block and self.inputs == 1:
            self._over_taps(acc, lambda row, column, _: self._stored(row, column))
        elif in_block and self.inputs * acc.pixels <= UNROLL:  # a permutation must be known when it is emitted
            self._over_taps(acc, self._permuted)
        else:
            self._group_by_group(acc)

    def _stored(self, row: Expr, column: Expr) -> Expr:
        return self.x[self.image, self.block, row, column, vector(self.spec.x.block)]

    def _permuted(self, row: Expr, column: Expr, j: Expr) -> Expr:
        source = [lane // self.outputs * self.inputs + j for lane in range(self.spec.out.block)]
        return tirx.Shuffle([self._stored(row, column)], source)

    def _group_by_group(self, acc: Accumulators) -> None:
        lanes, last = self.spec.out.block, self.spec.group - 1
        first = T.Bind(self.block * lanes // self.outputs)
        final = T.min((self.block * lanes + lanes - 1) // self.outputs, last)
        with T.serial(first, final + 1) as group:
            own = Accumulators([lanes], acc.pixels, acc.element)
            own.fill([zeros(lanes, acc.element)])
            channel = T.Bind(group * self.inputs)
            block = self.spec.x.block

            def broadcast(row: Expr, column: Expr, j: Expr) -> Expr:
                lane = (channel + j) % block
                return splat(self.x[self.image, (channel + j) // block, row, column, lane], lanes)

            self._over_taps(own, broadcast)
            start = T.Bind(group * self.outputs - self.block * lanes)
            position = tirx.Ramp(0, 1, lanes)
            inside = tirx.all(position >= splat(start, lanes), position < splat(start + self.outputs, lanes))
            for p in range(acc.pixels):
                acc.set(0, p, acc.get(0, p) + tirx.Select(inside, own.get(0, p), zeros(lanes, acc.element)))

    def _over_taps(self, acc: Accumulators, read: Callable[[Expr, Expr, Expr], Expr]) -> None:
        """Add weights times ``read(stored row, stored column, j)`` for all taps and the `j` channels of a group."""
        spec = self.spec
        taps, work = spec.kernel[1], acc.pixels * self.inputs

        def tap_row(kh: Expr) -> None:
            if self.inputs == 1 and taps * work <= UNROLL and spec.strides[1] > 1:
                self._add_row(acc, kh, read)
            else:
                _loop(taps, work, lambda kw: self._add_tap(acc, kh, kw, read))

        # unrolled, the weights of all rows stay in registers: beside a wide tile and its inputs there is no room
        crowded = spec.strides[1] > 1 and acc.pixels > self.isa.registers // 4
        _loop(spec.kernel[0], UNROLL if crowded else work * taps, tap_row)

    def _add_row(self, acc: Accumulators, kh: Expr, read: Callable[[Expr, Expr, Expr], Expr]) -> None:
        """All taps of kernel row `kh`, one input after the other.

        With a stride the taps of a pixel share few inputs with those of the next; tap after tap, LLVM keeps them all.
        """
        spec = self.spec
        weights = [T.Bind(self._weight(kh, kw, 0)) for kw in range(spec.kernel[1])]
        uses: dict[int, list[tuple[int, int]]] = {}  # by column: pixels and taps
        for p in range(acc.pixels):
            for kw in range(len(weights)):
                uses.setdefault(p * spec.strides[1] + kw * spec.dilations[1], []).append((p, kw))
        for column, pairs in sorted(uses.items()):
            value = T.Bind(read(self._row(kh), self._left + column, 0))
            for p, kw in pairs:
                acc.add_product(0, p, value, weights[kw])

    def _add_tap(self, acc: Accumulators, kh: Expr, kw: Expr, read: Callable[[Expr, Expr, Expr], Expr]) -> None:
        spec = self.spec

        def channel(j: Expr) -> None:
            weight = T.Bind(self._weight(kh, kw, j))
            for p in range(acc.pixels):
                column = self._left + p * spec.strides[1] + kw * spec.dilations[1]
                acc.add_product(0, p, read(self._row(kh), column, j), weight)

        _loop(self.inputs, acc.pixels, channel)

    def _weight(self, kh: Expr, kw: Expr, j: Expr) -> Expr:
        return self.w[self.block, kh, kw, j, vector(self.spec.out.block)]

    def _row(self, kh: Expr) -> Expr:
        """The stored row under tap row `kh`."""
        spec = self.spec
        return spec.x.halo.top - spec.pads[0] + self.y * spec.strides[0] + kh * spec.dilations[0]

    @property
    def _left(self) -> Expr:
        """The stored column under the first tap of the first pixel."""
        spec = self.spec
        return spec.x.halo.left - spec.pads[1] + self.column * spec.strides[1]


def _loop(count: int, work: int, body: Callable[[Expr], None]) -> None:
    """`count` times `body`, which holds `work` multiply-adds; unrolled if that is not too much."""
    if count * work <= UNROLL:
        for i in range(count):
            body(i)
    else:
        with T.serial(0, count) as i:
            body(i)
