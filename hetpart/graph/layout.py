"""How a tensor lies in memory between two kernels.

Two forms only. `Plain` is ONNX's own row-major order (or, `Strided`, part of such a tensor, read where it lies).
`Blocked` is NCHW with the channels cut into blocks of `block` (the target's vector width in floats), stored with a
border of zeros ("halo") that is wide enough for every padded consumer, so that no kernel ever copies its input to pad
it.

Contract between kernels (every generator keeps it, on every processor):

* a producer writes its whole interior **and fills its halo**, on every run (the arena reuses memory): with zero, or
  in a quantised map with its zero point, which stands for zero;
* lanes of the last channel block beyond `c` hold unspecified values, in the halo too, and no consumer may let them
  reach a valid lane;
* a halo is never read as data except by convolutions and sums, for which zero is neutral.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Plain:
    """Row-major, dense, as in ONNX. `dtype` is a numpy name (``float32``, ``int64``, ``bool`` ...)."""

    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def physical_shape(self) -> tuple[int, ...]:
        return self.shape

    @property
    def size_bytes(self) -> int:
        """Bytes of the buffer."""
        return math.prod(self.physical_shape) * np.dtype(self.dtype).itemsize

    @property
    def start(self) -> int:
        """The first element in the buffer."""
        return 0

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements from one index to the next, per axis."""
        return tuple(math.prod(self.shape[axis + 1 :]) for axis in range(len(self.shape)))


@dataclass(frozen=True)
class Strided(Plain):
    """A view of a row-major tensor: only the kernels that ask for `start` and `strides` may get one.

    Attributes:
        whole: elements of the tensor that is viewed.
        first: its element that comes first.
        steps: what `strides` are.
    """

    whole: int = 0
    first: int = 0
    steps: tuple[int, ...] = ()

    @property
    def physical_shape(self) -> tuple[int, ...]:
        return (self.whole,)

    @property
    def start(self) -> int:
        return self.first

    @property
    def strides(self) -> tuple[int, ...]:
        return self.steps


@dataclass(frozen=True)
class Halo:
    """Width of the zero border, in pixels."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    def union(self, other: Halo) -> Halo:
        return Halo(
            max(self.top, other.top),
            max(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )

    def __bool__(self) -> bool:
        return bool(self.top or self.left or self.bottom or self.right)


@dataclass(frozen=True)
class Blocked:
    """NCHW[block]c with a halo.

    Physical shape: ``(n, ceil(c / block), top + h + bottom, left + w + right, block)``.
    Element ``(i, k, y, x)`` is at ``[i, k // block, top + y, left + x, k % block]``.
    `fill` is what the halo holds: 0, or the zero point of a quantised map (`dtype` int8 or uint8).
    """

    n: int
    c: int
    h: int
    w: int
    block: int
    halo: Halo = Halo()
    dtype: str = "float32"
    fill: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.n, self.c, self.h, self.w)

    @property
    def blocks(self) -> int:
        return -(-self.c // self.block)

    @property
    def rows(self) -> int:
        """Stored rows, halo included."""
        return self.halo.top + self.h + self.halo.bottom

    @property
    def columns(self) -> int:
        """Stored columns, halo included."""
        return self.halo.left + self.w + self.halo.right

    @property
    def stored(self) -> Blocked:
        """The form in memory."""
        return self

    @property
    def physical_shape(self) -> tuple[int, ...]:
        return (self.n, self.blocks, self.rows, self.columns, self.block)

    @property
    def size_bytes(self) -> int:
        return math.prod(self.physical_shape) * np.dtype(self.dtype).itemsize


TEXEL = 4
"""Channels of a texel."""


@dataclass(frozen=True)
class Image(Blocked):
    """The same channel blocks in an OpenCL image of texels of four channels; private to the GPU that made it.

    Element ``(i, k, y, x)`` is lane ``k % 4`` of the texel in row ``i * h + y``, column ``(first + k // 4) * w + x``.
    An image needs no halo: a read outside of it gives zeros. `dtype` is that of the texels; kernels see float32.

    Attributes:
        first: where this map begins in an image that holds more channels (a concatenation in place), in blocks.
    """

    first: int = 0

    @staticmethod
    def of(layout: Blocked, dtype: str = "float32", first: int = 0) -> Image:
        """The image form of a map."""
        return Image(layout.n, layout.c, layout.h, layout.w, TEXEL, dtype=dtype, first=first)

    @property
    def physical_shape(self) -> tuple[int, ...]:
        """(rows, columns, 4) of the part of the image that holds this map."""
        return (self.n * self.h, self.blocks * self.w, self.block)


@dataclass(frozen=True)
class Split(Blocked):
    """A map in memory in blocks of ``parts * block`` channels, seen as blocks of `block`: a GPU's vectors are shorter.

    Block k is part ``k % parts`` of the block ``k // parts`` in memory. Blocks beyond the last channel are spare lanes.
    """

    parts: int = 1

    @staticmethod
    def of(layout: Blocked, block: int) -> Blocked:
        """`layout`, in blocks of at most `block` channels."""
        if layout.block <= block:
            return layout
        n, c, h, w = layout.shape
        return Split(n, c, h, w, block, layout.halo, layout.dtype, layout.fill, layout.block // block)

    @property
    def stored(self) -> Blocked:
        n, c, h, w = self.shape
        return Blocked(n, c, h, w, self.parts * self.block, self.halo, self.dtype, self.fill)

    @property
    def physical_shape(self) -> tuple[int, ...]:
        return self.stored.physical_shape


Layout = Plain | Blocked


def channels_last(shape: tuple[int, ...], dtype: str) -> Blocked:
    """How a row-major NHWC tensor lies in memory, seen as a map of logical `shape` NCHW: one block of all channels."""
    n, c, h, w = shape
    return Blocked(n, c, h, w, c, dtype=dtype)


def pack(array: np.ndarray, layout: Layout) -> np.ndarray:
    """`array` (logical shape) as it lies in memory under `layout`; halo and spare lanes hold its `fill`.

    Elements of the buffer that a `Strided` layout does not reach are zero.
    """
    if isinstance(layout, Strided):
        stored = np.zeros(layout.physical_shape, layout.dtype)
        _viewed(stored, layout)[...] = array
        return stored
    if isinstance(layout, Plain):
        return np.array(array, dtype=layout.dtype, order="C").reshape(layout.shape)
    n, c, h, w = layout.shape
    if isinstance(layout, Image):
        planes = pack(array, Blocked(n, c, h, w, layout.block, dtype=layout.dtype))
        return planes.transpose(0, 2, 1, 3, 4).reshape(layout.physical_shape)
    layout = layout.stored
    out = np.full(layout.physical_shape, layout.fill, dtype=layout.dtype)
    channels = np.full((n, layout.blocks * layout.block, h, w), layout.fill, dtype=layout.dtype)
    channels[:, :c] = array
    top, left = layout.halo.top, layout.halo.left
    blocked = channels.reshape(n, layout.blocks, layout.block, h, w)
    out[:, :, top : top + h, left : left + w] = blocked.transpose(0, 1, 3, 4, 2)
    return out


def unpack(stored: np.ndarray, layout: Layout) -> np.ndarray:
    """The logical array that `stored` (physical shape) holds: the inverse of `pack`."""
    if isinstance(layout, Strided):
        return np.ascontiguousarray(_viewed(stored, layout))
    if isinstance(layout, Plain):
        return stored.reshape(layout.shape)
    n, c, h, w = layout.shape
    if isinstance(layout, Image):
        planes = stored.reshape(n, h, layout.blocks, w, layout.block).transpose(0, 2, 1, 3, 4)
        return unpack(planes, Blocked(n, c, h, w, layout.block, dtype=layout.dtype))
    layout = layout.stored
    top, left = layout.halo.top, layout.halo.left
    inner = stored.reshape(layout.physical_shape)[:, :, top : top + h, left : left + w]
    return np.ascontiguousarray(inner.transpose(0, 1, 4, 2, 3).reshape(n, -1, h, w)[:, :c])


def _viewed(stored: np.ndarray, layout: Strided) -> np.ndarray:
    part = stored.reshape(-1)[layout.start :]
    return np.lib.stride_tricks.as_strided(part, layout.shape, [stride * part.itemsize for stride in layout.strides])
