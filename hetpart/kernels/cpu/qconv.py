"""Convolution of quantised maps by register tiles of int32 sums; depthwise is in hetpart.kernels.cpu.qdepthwise.

As in hetpart.kernels.cpu.conv a tile is a few output channel blocks by a few pixels, but a step of the reduction takes
four neighbouring input channels at once (hetpart.kernels.cpu.dot). hetpart.kernels.cpu.qconv_plan cuts it.

The zero point of the input is folded into the bias: sum (x - z) w = sum x w - z sum w, in the padding too, because
the halo holds z.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.graph.layout import Plain
from hetpart.kernels.cpu import qdepthwise
from hetpart.kernels.cpu.conv_frame import Band, Tile, check_windows, over_taps
from hetpart.kernels.cpu.dot import GROUP, activations, add_dot, offset
from hetpart.kernels.cpu.emit import Buffer, Expr, range_kernel, view
from hetpart.kernels.cpu.qconv_plan import QConvPlan, flattened
from hetpart.kernels.cpu.requantise import finish
from hetpart.kernels.cpu.tiles import each_piece
from hetpart.kernels.cpu.vectors import Accumulators, dtype_of, splat, vector
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import QConvSpec

UNROLL = 112
"""Dot products in the unrolled body of the innermost loop, about."""


def extent(spec: QConvSpec, isa: Isa) -> int:
    """Images x parts x channel tiles x bands of rows."""
    if qdepthwise.suits(spec):
        return qdepthwise.extent(spec, isa)
    return QConvPlan.of(spec, isa).frame.extent


def pack(spec: QConvSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Weights, flat: per part and channel tile (reduction steps, vectors of the tile, lanes, 4); then `pack_sums`."""
    if qdepthwise.suits(spec):
        return qdepthwise.pack(spec, isa, constants)
    plan, lanes = QConvPlan.of(spec, isa), spec.out.block
    w = np.asarray(constants["w"])
    packed = []
    for part in range(plan.frame.parts):
        steps = plan.ordered(plan.dense_weights(w, part))  # (steps, outputs, 4)
        for run in plan.frame.channel_tiles:
            for first in range(run.start, run.stop, run.size):
                packed.append(steps[:, first * lanes : (first + run.size) * lanes].reshape(-1))
    return (np.concatenate(packed), *pack_sums(spec, isa, constants))


def pack_sums(spec: QConvSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """What the sums begin with (bias less zero point times sum of weights) and multipliers, padded to whole blocks."""
    size = spec.out.blocks * spec.out.block
    w = np.asarray(constants["w"]).astype(np.int64)
    zero_point = int(constants["zero_point"]) + offset(spec.x.dtype, spec.out.block, isa)
    start = np.asarray(constants["b"]).astype(np.int64) - zero_point * w.reshape(len(w), -1).sum(1)
    start = start.astype(np.uint64).astype(np.uint32).view(np.int32)  # modulo 2^32, like the sums
    scale = np.asarray(constants["scale"], np.float32)
    return tuple(np.pad(array, (0, size - len(array))) for array in (start, scale))


def prim_func(spec: QConvSpec, isa: Isa, symbol: str) -> Any:
    """``(x, w, b, scale, out, lo, hi)``."""
    check(spec)
    if qdepthwise.suits(spec):
        return qdepthwise.prim_func(spec, isa, symbol)
    plan, channels = QConvPlan.of(spec, isa), spec.out.blocks * spec.out.block
    weights = plan.frame.parts * plan.steps * plan.frame.blocks * spec.out.block * GROUP
    constants = (Plain((weights,), "int8"), Plain((channels,), "int32"), Plain((channels,)))
    flat = flattened(spec)

    def body(item: Expr, x: Buffer, w: Buffer, b: Buffer, scale: Buffer, out: Buffer) -> None:
        _Kernel(flat, plan, isa, view(x, flat.x), w, b, scale, view(out, flat.out)).item(item)

    return range_kernel(symbol, (spec.x, *constants, spec.out), body)


def check(spec: QConvSpec) -> None:
    """Raise InternalError where the layouts break the contract of a convolution."""
    x, out = spec.x, spec.out
    if x.n != out.n or x.c % spec.group or out.c % spec.group or x.block % GROUP:
        raise InternalError("kernel-layout", f"a convolution in {spec.group} groups cannot go from {x} to {out}")
    if x.dtype not in ("int8", "uint8") or (out.dtype == "float32") != (spec.y is None):
        raise InternalError("kernel-layout", f"a quantised convolution cannot go from {x} to {out}")
    check_windows(spec, (spec.kernel[0], qdepthwise.read_columns(spec) if qdepthwise.suits(spec) else spec.kernel[1]))


@dataclass
class _Kernel:
    """A convolution with its buffers, inside the function under construction."""

    spec: QConvSpec
    plan: QConvPlan
    isa: Isa
    x: Buffer
    w: Buffer
    b: Buffer
    scale: Buffer
    out: Buffer

    def item(self, item: Expr) -> None:
        """Work item number `item`."""
        self.plan.frame.item(item, self._band)

    def _band(self, band: Band) -> None:
        def tile_row(_: Expr, y: Expr, rows: int) -> None:
            each_piece(self.plan.frame.columns, lambda x, columns: _Tile(band, (y, rows), (x, columns), self).emit())
            band.zero_halo(self.out, y, rows)

        band.each_row(tile_row)


@dataclass
class _Tile(Tile):
    """Emits the code of one tile of `kernel`."""

    kernel: _Kernel

    def emit(self) -> None:
        spec, lanes = self.kernel.spec, self.kernel.spec.out.block
        acc = Accumulators([lanes] * self.band.vectors, len(self.pixels), "int32")
        block = T.Bind(self.band.block)
        acc.fill([self.kernel.b[vector(lanes, (block + v) * lanes)] for v in range(self.band.vectors)])
        self._reduce(acc)
        for v in range(self.band.vectors):
            scale = T.Bind(self.kernel.scale[vector(lanes, (block + v) * lanes)])
            for p, (y, x) in enumerate(self.pixels):
                value = finish(acc.get(v, p), scale, spec.y, spec.out.dtype)
                place = [self.band.image, block + v, spec.out.halo.top + y, spec.out.halo.left + x, vector(lanes)]
                T.buffer_store(self.kernel.out, value, place)

    def _reduce(self, acc: Accumulators) -> None:
        plan, spec = self.kernel.plan, self.kernel.spec
        per_block, chunk, taps = spec.x.block // GROUP, plan.chunk, plan.taps
        start = T.Bind(plan.first_quad(self.band.part)) if plan.frame.parts > 1 else 0
        full, tail = divmod(plan.quads, chunk)
        most = max(1, UNROLL // (len(self.pixels) * self.band.vectors))
        unroll = max(d for d in range(1, chunk + 1) if chunk % d == 0 and d <= most)

        def chunk_tap(c: Expr, tap: Expr, kh: Expr, kw: Expr) -> None:
            with T.serial(0, chunk // unroll) as outer:
                for inner in range(unroll):
                    index = outer * unroll + inner
                    step = (c * taps + tap) * chunk + index
                    if chunk == per_block:
                        self._step(acc, start // per_block + c, index, step, kh, kw)
                    else:
                        quad = start + c
                        self._step(acc, quad // per_block, quad % per_block, step, kh, kw)

        if full:
            with T.serial(0, full) as c:
                over_taps(spec.kernel, lambda *tap: chunk_tap(c, *tap))
        if tail:

            def tail_tap(tap: Expr, kh: Expr, kw: Expr) -> None:
                for index in range(tail):
                    self._step(acc, full, index, full * taps * chunk + tap * tail + index, kh, kw)

            over_taps(spec.kernel, tail_tap)

    def _step(self, acc: Accumulators, block: Expr, quad: Expr, step: Expr, kh: Expr, kw: Expr) -> None:
        """One step of the reduction: input channels 4 `quad` to 4 `quad` + 3 of `block` under tap (kh, kw)."""
        spec, plan, isa = self.kernel.spec, self.kernel.plan, self.kernel.isa
        lanes = spec.out.block
        tile = self.band.block * plan.steps  # in vectors
        weights = [
            T.Bind(self.kernel.w[vector(GROUP * lanes, (tile + step * self.band.vectors + v) * GROUP * lanes)])
            for v in range(self.band.vectors)
        ]
        for p, inputs in enumerate(self._inputs(block, quad, kh, kw)):
            for v, weight in enumerate(weights):
                acc.set(v, p, add_dot(acc.get(v, p), inputs, weight, spec.x.dtype, isa))

    def _inputs(self, block: Expr, quad: Expr, kh: Expr, kw: Expr) -> list[Expr]:
        """For each pixel four input channels, in every lane."""
        spec, isa, lanes = self.kernel.spec, self.kernel.isa, self.kernel.spec.out.block
        top = spec.x.halo.top - spec.pads[0] + kh * spec.dilations[0]
        left = spec.x.halo.left - spec.pads[1] + kw * spec.dilations[1]
        (y, rows), (x, columns) = self.rows, self.columns

        def load(row: Expr, column: Expr, count: int) -> Expr:
            """`count` neighbouring pixels; more than one only where a block is four channels."""
            stored = self.kernel.x[self.band.image, block, row, column, vector(count * GROUP, quad * GROUP)]
            words = tirx.reinterpret(dtype_of(count, "int32"), stored)
            return T.Bind(activations(words, spec.x.dtype, lanes, isa))

        inputs: list[Expr] = []
        for dy in range(rows):
            row = top + (y + dy) * spec.strides[0]
            if _reads_neighbours(spec, columns, isa):
                loaded = [load(row, left + x + min(dx, columns - GROUP), GROUP) for dx in range(0, columns, GROUP)]
                for dx in range(columns):
                    lane = dx - min(dx // GROUP * GROUP, columns - GROUP)
                    inputs.append(tirx.Shuffle([loaded[dx // GROUP]], [lane] * lanes))
                continue
            for dx in range(columns):
                inputs.append(T.Bind(splat(load(row, left + (x + dx) * spec.strides[1], 1), lanes)))
        return inputs


def _reads_neighbours(spec: QConvSpec, columns: int, isa: Isa) -> bool:
    """Whether one load serves four pixels, as Arm's dot product takes any lane of a register for one operand."""
    same = spec.strides[1] == 1 and spec.x.block == spec.out.block == GROUP
    return same and columns >= GROUP and isa.triple.startswith("aarch64")
