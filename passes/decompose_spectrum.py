"""Decompositions, part 3: Fourier transforms as products with their matrices.

A transform of n points costs n multiply-adds a point that way: fine for the lengths of speech and sensor models.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from hetpart.passes.block import Block
from hetpart.passes.edit import Array, dtype_of, operand, scalar, shape_of

_MAX_LENGTH = 8192
"""Points; the matrices of a longer transform would take more than half a gigabyte."""


def dft(at: Block) -> bool:
    """DFT -> MatMul. The last axis of input and output holds (real,) or (real, imaginary)."""
    x = at.input(0)
    shape = shape_of(x)
    rank = len(shape)
    axis_input = operand(at.node, 2)
    axis = at.attribute("axis", 1 if at.editor.opset < 20 else -2)
    if axis_input is not None:
        number = scalar(axis_input)
        if number is None:
            return False
        axis = int(number)
    axis %= rank
    length_input = operand(at.node, 1)
    length = shape[axis]
    if length_input is not None:
        number = scalar(length_input)
        if number is None:
            return False
        length = int(number)
    onesided, inverse = bool(at.attribute("onesided", 0)), bool(at.attribute("inverse", 0))
    half = onesided and inverse  # the input holds the first half of the spectrum of a real signal
    if half and length_input is None:
        length = 2 * (shape[axis] - 1)
    if length > _MAX_LENGTH or shape[-1] not in (1, 2) or (half and shape[-1] != 2):
        return False
    order = [i for i in range(rank) if i not in (axis, rank - 1)] + [rank - 1, axis]
    last = at.op("Transpose", x, perm=order)  # (..., complex, points)
    used = min(length // 2 + 1 if half else length, shape[axis])
    if used < shape[axis]:
        last = at.slice(last, rank - 1, 0, used)
    cosine, sine = _matrices(length, used, onesided and not inverse, inverse)
    parts = [at.slice(last, rank - 2, i, i + 1) for i in range(shape[-1])]
    if half:
        twice = np.array([1.0 if i in (0, length / 2) else 2.0 for i in range(used)])[:, None]
        made, _ = _transform(at, parts, cosine * twice, sine * twice)
    else:
        made = at.op("Concat", *_transform(at, parts, cosine, sine), axis=rank - 2)
    return at.replace(at.op("Transpose", made, perm=[order.index(i) for i in range(rank)]))


def stft(at: Block) -> bool:
    """STFT -> one Gather of all frames, the window, and MatMul; result (batch, frames, bins, 2)."""
    signal, step = at.input(0), at.input(1)
    window, frame = operand(at.node, 2), operand(at.node, 3)
    stride = scalar(step)
    given = scalar(frame) if frame is not None else None
    length = int(given) if given is not None else shape_of(window)[0] if window is not None else 0
    shape = shape_of(signal)
    complexes = shape[2] if len(shape) == 3 else 1
    if stride is None or not 0 < length <= _MAX_LENGTH or complexes not in (1, 2):
        return False
    count = (shape[1] - length) // int(stride) + 1
    positions = np.arange(count)[:, None] * int(stride) + np.arange(length)[None, :]
    frames = at.op("Gather", at.reshape(signal, (shape[0], shape[1], complexes)), at.const(positions), axis=1)
    frames = at.op("Transpose", frames, perm=[0, 1, 3, 2])  # (batch, frames, complex, points)
    if window is not None:
        frames = at.op("Mul", frames, window)
    cosine, sine = _matrices(length, length, bool(at.attribute("onesided", 1)), inverse=False)
    parts = [at.slice(frames, 2, i, i + 1) for i in range(complexes)]
    real, imaginary = _transform(at, parts, cosine, sine)
    made = at.op("Concat", real, imaginary, axis=2)
    return at.replace(at.op("Transpose", made, perm=[0, 1, 3, 2]))


def _matrices(length: int, used: int, onesided: bool, inverse: bool) -> tuple[Array, Array]:
    """Real and imaginary part of exp(-+2 pi i j k / length), of shape (used, bins)."""
    bins = length // 2 + 1 if onesided else length
    angle = 2 * np.pi * (np.outer(np.arange(used), np.arange(bins)) % length) / length
    factor = 1 / length if inverse else 1.0
    return np.cos(angle) * factor, (np.sin(angle) if inverse else -np.sin(angle)) * factor


def _transform(at: Block, parts: list[ir.Value], cosine: Array, sine: Array) -> tuple[ir.Value, ir.Value]:
    """Real and imaginary part, summed in float64: what cancels must vanish."""
    dtype = dtype_of(parts[0])
    x, *rest = (at.cast(part, ir.DataType.DOUBLE) for part in parts)
    c, s = at.const(cosine), at.const(sine)
    real, imaginary = at.op("MatMul", x, c), at.op("MatMul", x, s)
    for y in rest:
        real = at.op("Sub", real, at.op("MatMul", y, s))
        imaginary = at.op("Add", imaginary, at.op("MatMul", y, c))
    return at.cast(real, dtype), at.cast(imaginary, dtype)
