"""Batched row-major product of two activations with ONNX broadcasting.

A work item is one register tile of one product. Neither side is repacked: a tile reads whole vectors along the rows of
the right-hand side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.graph.epilogue import Step
from hetpart.kernels.cpu.emit import Buffer, Expr, decode, flat, plain_real, range_kernel
from hetpart.kernels.cpu.gemm import GemmTile, GemmTiles, aligned_shape, operand_slice
from hetpart.kernels.cpu.vectors import vector, zeros
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import MatmulSpec
from hetpart.kernels.strides import matrix_strides


def extent(spec: MatmulSpec, isa: Isa) -> int:
    """Products times register tiles."""
    shapes = _Shapes.of(spec)
    return math.prod(shapes.batch) * shapes.tiles(isa, spec.steps, _element(spec)).count


def pack(spec: MatmulSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Both sides are activations."""
    return ()


def prim_func(spec: MatmulSpec, isa: Isa, symbol: str) -> Any:
    """``(a, b, operands..., out, lo, hi)``."""
    plain_real(spec.a, spec.b, spec.out, *spec.operands)
    shapes = _Shapes.of(spec)
    tiles = shapes.tiles(isa, spec.steps, _element(spec))
    m, k, n = shapes.m, shapes.k, shapes.n
    *a_batch, a_row = matrix_strides(spec.a, shapes.batch)
    *b_batch, b_row = matrix_strides(spec.b, shapes.batch, column=True)
    arguments = (spec.a, spec.b, *spec.operands, spec.out)

    def body(item: Expr, *buffers: Buffer) -> None:
        views = [flat(b, math.prod(a.physical_shape), a.dtype) for b, a in zip(buffers, arguments, strict=True)]
        a, b, *operands, out = views
        product, number = decode(item, (math.prod(shapes.batch), tiles.count))
        matrix = decode(product, shapes.batch) if shapes.batch else []
        left, right = (
            T.Bind(side.start + sum(c * stride for c, stride in zip(matrix, strides, strict=True)))
            for side, strides in ((spec.a, a_batch), (spec.b, b_batch))
        )

        def tile(row: Expr, rows: int, column: Expr, columns: int) -> None:
            first = product * m + row

            def operand(i: int, r: Expr, c: int, width: int) -> Expr:
                shape = shapes.widened(aligned_shape(spec.operands[i], len(spec.out.shape)))
                return operand_slice(operands[i], shape, shapes.out, first + r, column + c, width)

            GemmTile(
                rows,
                columns,
                k,
                left=lambda r, step: a[left + (row + r) * a_row + step],
                right=lambda step, c, width: b[vector(width, right + step * b_row + column + c)],
                start=lambda _, width: zeros(width),
                place=lambda r, c, width: vector(width, (first + r) * n + column + c),
                operand=operand,
                element=_element(spec),
            ).emit(out, spec.steps, isa)

        tiles.locate(number, tile)

    return range_kernel(symbol, arguments, body)


def _element(spec: MatmulSpec) -> str:
    """What is multiplied: float16 if both sides are stored so."""
    return "float16" if spec.a.dtype == spec.b.dtype == "float16" else "float32"


@dataclass(frozen=True)
class _Shapes:
    """The product with vectors written as matrices: a (1, k) row on the left, a (k, 1) column on the right."""

    batch: tuple[int, ...]
    m: int
    k: int
    n: int
    row_dropped: bool
    column_dropped: bool

    @staticmethod
    def of(spec: MatmulSpec) -> _Shapes:
        """Raises InternalError ``kernel-layout`` if the shapes do not fit together."""
        row_dropped, column_dropped = len(spec.a.shape) == 1, len(spec.b.shape) == 1
        a = (1, *spec.a.shape) if row_dropped else spec.a.shape
        b = (*spec.b.shape, 1) if column_dropped else spec.b.shape
        rank = max(len(a), len(b)) - 2
        a_batch, b_batch = ((1,) * (rank + 2 - len(s)) + s[:-2] for s in (a, b))
        batch = tuple(max(pair) for pair in zip(a_batch, b_batch, strict=True))
        shapes = _Shapes(batch, a[-2], a[-1], b[-1], row_dropped, column_dropped)
        fits = all(have in (1, want) for side in (a_batch, b_batch) for have, want in zip(side, batch, strict=True))
        if not fits or a[-1] != b[-2] or shapes.widened(spec.out.shape) != shapes.out:
            raise InternalError("kernel-layout", f"{spec.a} times {spec.b} is not {spec.out}")
        return shapes

    @property
    def out(self) -> tuple[int, ...]:
        return (*self.batch, self.m, self.n)

    def widened(self, shape: Sequence[int]) -> tuple[int, ...]:
        """A shape of the output's rank with the dimensions that ONNX drops put back as ones."""
        column = () if self.column_dropped else tuple(shape[-1:])
        rest = tuple(shape) if self.column_dropped else tuple(shape[:-1])
        return (*rest, *((1,) if self.row_dropped else ()), *(column or (1,)))

    def tiles(self, isa: Isa, steps: Sequence[Step], element: str) -> GemmTiles:
        return GemmTiles.of(self.m, self.k, self.n, isa, steps, element)
