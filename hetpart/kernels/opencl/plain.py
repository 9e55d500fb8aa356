"""Row-major tensors: how rows are read, broadcasting, and loops over contiguous rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hetpart.graph.layout import Plain
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl.stored import Stored
from hetpart.kernels.opencl.text import for_range, indent, splat, vector
from hetpart.kernels.strides import broadcast_strides


@dataclass(frozen=True)
class RowVectors:
    """How a contiguous row is read and written: `width` floats at once.

    Row-major data need not come in whole vectors and is not aligned to them. vloadN and vstoreN are made for that, but
    PoCL takes them apart into scalars (a matrix product ran three times slower); where `by_cast` is set, a vector type
    of a float's alignment serves instead, which every clang-based compiler of a CPU turns into one load.
    """

    width: int
    by_cast: bool

    @staticmethod
    def of(device: Device, length: int) -> RowVectors:
        """For rows of `length`: the device's vectors, or shorter ones for short rows."""
        width = device.lanes
        while width > length:
            width //= 2
        return RowVectors(width, device.tile_items)

    @property
    def form(self) -> str:
        return vector(self.width)

    def declare(self) -> list[str]:
        """What a kernel that uses `load` or `store` must say first."""
        if not self.by_cast or self.width == 1:
            return []
        return [f"typedef {self.form} unaligned __attribute__((aligned(4)));"]

    def load(self, pointer: str, offset: str, count: int | None = None, dtype: str = "float32") -> str:
        """`count` numbers stored as `dtype`, 1 or the whole width, at `pointer` + `offset`, as floats."""
        count = count or self.width
        if dtype == "float16":
            return f"vload_half({offset}, {pointer})" if count == 1 else f"vload_half{count}(0, {_at(pointer, offset)})"
        if count == 1:
            return f"{pointer}[{offset}]"
        address = _at(pointer, offset)
        return f"*(__global const unaligned*)({address})" if self.by_cast else f"vload{self.width}(0, {address})"

    def store(self, value: str, pointer: str, offset: str, count: int | None = None, dtype: str = "float32") -> str:
        """The statement that stores `count` floats as `dtype`."""
        count = count or self.width
        if dtype == "float16":
            where = f"{offset}, {pointer}" if count == 1 else f"0, {pointer} + {offset}"
            return f"vstore_half{'' if count == 1 else count}({value}, {where});"
        if count == 1:
            return f"{pointer}[{offset}] = {value};"
        address = f"{pointer} + {offset}"
        if self.by_cast:
            return f"*(__global unaligned*)({address}) = {value};"
        return f"vstore{self.width}({value}, 0, {address});"


def _at(pointer: str, offset: str) -> str:
    return pointer if offset == "0" else f"{pointer} + {offset}"


def row_pointers(x: Plain, out: Plain, start: str) -> list[str]:
    """Declarations of ``from`` and ``to``, pointers to element `start` of x and out."""
    reads, writes = Stored(x.dtype).form, Stored(out.dtype).form
    return [f"__global const {reads}* from = x + {start};", f"__global {writes}* to = out + {start};"]


def sweep(length: int, width: int, body: Callable[[int], list[str]]) -> list[str]:
    """`body` for ``i`` along a row of `length`: in steps of `width`, then one by one for what remains.

    `body` gets the number of floats to handle at ``i``.
    """
    whole = length // width * width
    lines = []
    if whole:
        lines += [f"for (int i = 0; i < {whole}; i += {width}) {{", *indent(body(width)), "}"]
    if whole < length:
        lines += for_range("i", str(whole), str(length), body(1))
    return lines


def partial(name: str, width: int, count: int) -> str:
    """What a step of `count` floats adds to: the sum `name` of `width` lanes, or its first lane for the remainder."""
    return f"{name}.s0" if count == 1 < width else name


def reduce(name: str, width: int, combine: str) -> tuple[list[str], str]:
    """Declarations that combine the lanes of the vector `name` by a function or operator, and the result's name."""
    lines = []
    while width > 1:
        width //= 2
        low, high = (f"{name}.lo", f"{name}.hi")
        value = f"{low} {combine} {high}" if combine in "+*" else f"{combine}({low}, {high})"
        base = name.rstrip("0123456789")
        lines.append(f"const {vector(width)} {base}{width} = {value};")
        name = f"{base}{width}"
    return lines, name


@dataclass(frozen=True)
class Strided:
    """How a tensor is walked by a single index over `extents` (row-major): the stride of each extent, in elements."""

    extents: tuple[int, ...]
    strides: tuple[int, ...]

    @staticmethod
    def of(extents: tuple[int, ...], strides: tuple[int, ...]) -> Strided:
        """Neighbouring extents that are one contiguous (or constant) walk become one; extents of 1 disappear."""
        merged: list[tuple[int, int]] = []
        for extent, stride in zip(extents, strides, strict=True):
            if extent == 1:
                continue
            if merged and merged[-1][1] == stride * extent:
                merged[-1] = (merged[-1][0] * extent, stride)
            else:
                merged.append((extent, stride))
        return Strided(tuple(e for e, _ in merged), tuple(s for _, s in merged))

    def offset(self, index: str) -> str:
        """Offset of the element with number `index`, a C name or ``0``."""
        parts = []
        inner = math.prod(self.extents)
        for number, (extent, stride) in enumerate(zip(self.extents, self.strides, strict=True)):
            inner //= extent
            if stride == 0 or index == "0":
                continue
            text = index if inner == 1 else f"{index} / {inner}"
            text = text if number == 0 else f"{text} % {extent}"
            parts.append(text if stride == 1 else f"{text} * {stride}")
        return " + ".join(parts) or "0"


@dataclass(frozen=True)
class RowOperand:
    """A tensor that is broadcast to rows: offset of a row by the row's number, and whether a row is a single value."""

    name: str
    rows: Strided
    single: bool
    dtype: str = "float32"

    @staticmethod
    def of(
        name: str, shape: tuple[int, ...], out: tuple[int, ...], inner_rank: int = 1, dtype: str = "float32"
    ) -> RowOperand:
        """`shape` broadcast to `out`, whose last `inner_rank` axes are the row; stored as `dtype`."""
        strides = broadcast_strides(shape, out)
        split = len(out) - inner_rank
        inner = strides[split:]
        return RowOperand(name, Strided.of(out[:split], strides[:split]), not any(inner), dtype)

    @property
    def argument(self) -> str:
        return Stored(self.dtype).argument(self.name)

    def load(self, row: str, column: str, vectors: RowVectors) -> str:
        """A vector at `column` of row `row`."""
        offset = self.rows.offset(row)
        if self.single:
            return splat(Stored(self.dtype).read(self.name, offset), vectors.width)
        return vectors.load(self.name, column if offset == "0" else f"{offset} + {column}", dtype=self.dtype)
