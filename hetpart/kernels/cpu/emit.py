"""What the CPU kernels share: the signature with its item loop, rows and halos of blocked maps, plane reductions.

The kernels are written with TVM's IRBuilder, the layer under TVMScript, because the number of tensors, their ranks and
the unrolled parts depend on the spec. A statement is emitted where the Python code stands, inside the enclosing frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked, Layout, Plain

Expr = Any  # tvm PrimExpr or int
Buffer = Any  # tvm Buffer

CHAINS = 4
"""Independent accumulators of a reduction: enough to hide the latency of an addition."""

UNROLLED = "hetpart.unrolled"
"""Attribute of functions whose loops are unrolled as far as their values fit into registers, for LLVM to leave so."""

LINE_BYTES = 64
"""A cache line."""


def kernel(symbol: str, arguments: Sequence[Layout], body: Callable[..., None], *, unrolled: bool = False) -> Any:
    """PrimFunc `symbol` with buffer parameters for `arguments`, then ``lo, hi``; emits ``body(lo, hi, *buffers)``.

    It has the attribute `UNROLLED` if `unrolled`.
    """
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_name(symbol)
            T.func_attr({"global_symbol": symbol, "tirx.noalias": True} | ({UNROLLED: True} if unrolled else {}))
            buffers = [
                T.arg(f"a{i}", T.buffer(layout.physical_shape, layout.dtype, layout=None))
                for i, layout in enumerate(arguments)
            ]
            lo = T.arg("lo", T.int32())
            hi = T.arg("hi", T.int32())
            body(lo, hi, *buffers)
    return builder.get()


def range_kernel(symbol: str, arguments: Sequence[Layout], body: Callable[..., None], *, unrolled: bool = False) -> Any:
    """A `kernel` that does its items one by one: emits ``body(item, *buffers)`` in a loop."""

    def items(lo: Expr, hi: Expr, *buffers: Buffer) -> None:
        with T.serial(lo, hi) as item:
            body(item, *buffers)

    return kernel(symbol, arguments, items, unrolled=unrolled)


def workspace(shape: Sequence[int]) -> Buffer:
    """Memory of the calling thread's own, float32, allocated anew in each call (see hetpart/runtime/src/tvm.c)."""
    return T.alloc_buffer(tuple(shape), "float32", scope="global", layout=None)


def registers(shape: Sequence[int], dtype: str = "float32") -> Buffer:
    """A local array that LLVM promotes to registers: TVM must not turn it into a heap workspace."""
    return T.alloc_buffer(tuple(shape), dtype, scope="local", layout=None, annotations={"disable_lower_builtin": True})


def prefetch(buffer: Buffer, index: Expr, *, into_l2: bool = False) -> None:
    """Ask for the cache line that holds element `index` of a one-dimensional buffer; it may lie beyond the end."""
    locality = 2 if into_l2 else 3
    T.evaluate(tirx.call_intrin("void", "tirx.prefetch", tirx.address_of(buffer[index]), 0, locality, 1))


def starts_line(number: int, lanes: int, dtype: str) -> bool:
    """Whether vector `number` of a stream begins another cache line than the one before: only then to be prefetched."""
    return number % max(1, LINE_BYTES // (lanes * np.dtype(dtype).itemsize)) == 0


def flat(buffer: Buffer, size: int, dtype: str) -> Buffer:
    """`buffer` seen as one dimension of `size` elements of `dtype` (same width)."""
    return T.decl_buffer((size,), dtype, data=buffer.data, layout=None)


def view(buffer: Buffer, layout: Layout) -> Buffer:
    """`buffer` with the shape of `layout`, which holds as many elements."""
    return T.decl_buffer(layout.physical_shape, layout.dtype, data=buffer.data, layout=None)


def decode(item: Expr, extents: Sequence[int]) -> list[Expr]:
    """Row-major coordinates of `item` in a space of `extents`, each bound to a variable."""
    coordinates: list[Expr] = []
    for extent in reversed(extents[1:]):
        coordinates.append(T.Bind(item % extent) if extent > 1 else 0)
        item = T.Bind(item // extent) if extent > 1 else item
    coordinates.append(item if extents[0] > 1 else 0)
    return coordinates[::-1]


def row_extent(out: Blocked) -> int:
    """Work items of a kernel that makes one image row of one channel block per item."""
    return out.n * out.blocks * out.h


def locate_row(item: Expr, out: Blocked) -> list[Expr]:
    """``[image, block, y]`` of a row item."""
    return decode(item, (out.n, out.blocks, out.h))


def zero_halo(buffer: Buffer, out: Blocked, image: Expr, block: Expr, y: Expr) -> None:
    """Fill the halo that row `y` owns: its own margins, and all rows above the first or below the last."""
    halo, fill = out.halo, tirx.const(out.fill, out.dtype)

    def zero(first_row: Expr, rows: int, first_column: int, columns: int) -> None:
        if rows and columns:
            with T.serial(0, rows) as r, T.serial(0, columns) as x, T.vectorized(0, out.block) as v:
                T.buffer_store(buffer, fill, [image, block, first_row + r, first_column + x, v])

    zero(halo.top + y, 1, 0, halo.left)
    zero(halo.top + y, 1, halo.left + out.w, halo.right)
    if halo.top:
        with T.If(T.EQ(y, 0)), T.Then():
            zero(0, halo.top, 0, out.columns)
    if halo.bottom:
        with T.If(T.EQ(y, out.h - 1)), T.Then():
            zero(halo.top + out.h, halo.bottom, 0, out.columns)


def blocked_element(buffer: Buffer, layout: Blocked, image: Expr, block: Expr, y: Expr, x: Expr, lane: Expr) -> Expr:
    """Element of `layout` for a position in the output; broadcasts where its n, h, w or c is 1."""
    block, lane = (0, 0) if layout.c == 1 else (block, lane)
    return buffer[
        0 if layout.n == 1 else image,
        block,
        layout.halo.top + (0 if layout.h == 1 else y),
        layout.halo.left + (0 if layout.w == 1 else x),
        lane,
    ]


def check_blocked_operands(out: Blocked, operands: Sequence[Layout]) -> None:
    """Raise InternalError unless every operand is Blocked like `out` and broadcasts to it."""
    for layout in operands:
        fits = isinstance(layout, Blocked) and (layout.c == 1 or layout.block == out.block)
        if not fits or any(have not in (1, want) for have, want in zip(layout.shape, out.shape, strict=True)):
            raise InternalError("kernel-layout", f"{layout} does not broadcast to {out}")


def reduce_plane(
    layout: Blocked,
    neutral: float,
    combine: Callable[[Expr, Expr], Expr],
    value: Callable[[Expr, Expr, Expr], Expr],
    target: Buffer,
) -> None:
    """`combine` over ``value(y, x, lane)`` of a plane, lane by lane, into the register array `target`.

    Each row is reduced on its own and then joined to the total, so that rounding grows with height plus width and not
    with their product.
    """
    block, chains = layout.block, min(CHAINS, layout.w)
    row = registers((chains * block,))
    with T.vectorized(0, block) as v:
        T.buffer_store(target, T.float32(neutral), [v])
    with T.serial(0, layout.h) as y:

        def add(x: Expr, chain: Expr) -> None:
            with T.vectorized(0, block) as v:
                T.buffer_store(row, combine(row[chain * block + v], value(y, x, v)), [chain * block + v])

        with T.unroll(0, chains) as chain, T.vectorized(0, block) as v:
            T.buffer_store(row, T.float32(neutral), [chain * block + v])
        with T.serial(0, layout.w // chains) as group, T.unroll(0, chains) as chain:
            add(group * chains + chain, chain)
        with T.unroll(0, layout.w % chains) as rest:
            add(layout.w // chains * chains + rest, rest)
        with T.unroll(0, chains) as chain, T.vectorized(0, block) as v:
            T.buffer_store(target, combine(target[v], row[chain * block + v]), [v])


def plain_float32(*layouts: Layout) -> None:
    """Raise InternalError unless all of `layouts` are Plain float32."""
    for layout in layouts:
        if not isinstance(layout, Plain) or layout.dtype != "float32":
            raise InternalError("kernel-layout", f"a row-major float32 tensor is needed here, not {layout}")


def plain_real(*layouts: Layout) -> None:
    """Raise InternalError unless all of `layouts` are Plain, of float32 or float16."""
    for layout in layouts:
        if not isinstance(layout, Plain) or layout.dtype not in ("float32", "float16"):
            raise InternalError("kernel-layout", f"a row-major tensor of real numbers is needed here, not {layout}")


def storage_dtype(dtype: str) -> str:
    """An unsigned integer dtype of the same width, for kernels that only move elements."""
    return f"uint{8 * np.dtype(dtype).itemsize}"
