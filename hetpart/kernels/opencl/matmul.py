"""Batched products of two activations, with ONNX's broadcasting of the batch axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hetpart.errors import InternalError
from hetpart.graph.layout import Plain
from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl import steps
from hetpart.kernels.opencl.gemm import GemmTile
from hetpart.kernels.opencl.grid import item
from hetpart.kernels.opencl.plain import RowOperand, Strided
from hetpart.kernels.opencl.stored import Stored
from hetpart.kernels.opencl.text import affine, kernel
from hetpart.kernels.spec import MatmulSpec
from hetpart.kernels.strides import matrix_strides


@dataclass(frozen=True)
class _Problem:
    """A product with all axes spelled out: a (..., m, k), b (..., k, n), out (*batch, m, n)."""

    a: tuple[int, ...]
    b: tuple[int, ...]
    batch: tuple[int, ...]

    @staticmethod
    def of(spec: MatmulSpec) -> _Problem:
        """As numpy.matmul has it: a vector on the left is a row, one on the right a column."""
        a = spec.a.shape if len(spec.a.shape) > 1 else (1, *spec.a.shape)
        b = spec.b.shape if len(spec.b.shape) > 1 else (*spec.b.shape, 1)
        try:
            batch = np.broadcast_shapes(a[:-2], b[:-2])
        except ValueError:
            batch = ()
        problem = _Problem(a, b, batch)
        if a[-1] != b[-2] or math.prod(spec.out.shape) != math.prod(batch) * problem.m * problem.n:
            raise InternalError("kernel-layout", f"{spec.a} times {spec.b} is not {spec.out}")
        return problem

    @property
    def m(self) -> int:
        return self.a[-2]

    @property
    def k(self) -> int:
        return self.a[-1]

    @property
    def n(self) -> int:
        return self.b[-1]

    @property
    def count(self) -> int:
        """Matrices in the batch."""
        return math.prod(self.batch)

    def matrix(self, side: Plain, strides: Sequence[int]) -> str:
        """Offset of the first element of matrix number ``matrix`` of a or b, which lie `strides` apart."""
        offset = Strided.of(self.batch, tuple(strides)).offset("matrix")
        return f"{side.start} + {offset}" if side.start else offset


def source(spec: MatmulSpec, device: Device, symbol: str) -> str:
    problem = _Problem.of(spec)
    tile = _tile(spec, problem, device)
    # operands broadcast to out.shape, which lacks the axes that a vector argument never had
    shape = (*problem.batch, problem.m, problem.n)
    operands = [
        RowOperand.of(f"operand{i}", _spelled_out(form.shape, spec), shape, dtype=form.dtype)
        for i, form in enumerate(spec.operands)
    ]
    form, a, b, out = tile.form.form, Stored(spec.a.dtype), Stored(spec.b.dtype), Stored(spec.out.dtype)
    *a_batch, a_row = matrix_strides(spec.a, problem.batch)
    *b_batch, b_row = matrix_strides(spec.b, problem.batch, column=True)
    body = [
        *tile.grid(problem.count).guard(device),
        *tile.locate(),
        f"const int matrix = {item(2, problem.count)};",
        "",
        *tile.declare(lambda v: f"({form})(0.0f)"),
        f"__global const {a.form}* from = a + {problem.matrix(spec.a, a_batch)} + row * {a_row};",
        f"__global const {b.form}* right = b + {problem.matrix(spec.b, b_batch)} + column;",
        *tile.multiply(
            problem.k,
            lambda v: tile.form.load("right", str(v * tile.width), dtype=spec.b.dtype),
            f"right += {b_row};",
            row_stride=a_row,
        ),
        *tile.store(symbol, spec.steps, operands, affine([("matrix", problem.m), ("row", 1)])),
    ]
    comment = [
        f"{symbol}: {problem.count} product(s) ({problem.m} x {problem.k}) times ({problem.k} x {problem.n})"
        f"{steps.describe(spec.steps)}.",
        f"A work-item computes {tile.rows} row(s) of {tile.columns} columns.",
    ]
    arguments = [a.argument("a"), b.argument("b"), *(operand.argument for operand in operands)]
    arguments.append(out.argument("out", written=True))
    return kernel(symbol, comment, arguments, body, steps.function(symbol, spec.steps, tile.width))


def launch(spec: MatmulSpec, device: Device) -> Launch:
    problem = _Problem.of(spec)
    return _tile(spec, problem, device).grid(problem.count).launch(device)


def pack(spec: MatmulSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return ()


def _tile(spec: MatmulSpec, problem: _Problem, device: Device) -> GemmTile:
    return GemmTile.choose(device, problem.m, problem.n, problem.count, spec.a, spec.out)


def _spelled_out(operand: tuple[int, ...], spec: MatmulSpec) -> tuple[int, ...]:
    """An operand's shape with the axes that `out` lacks because a or b is a vector."""
    padded = (1,) * (len(spec.out.shape) - len(operand)) + operand
    if len(spec.b.shape) == 1:
        padded = (*padded, 1)
    if len(spec.a.shape) == 1:
        padded = (*padded[:-1], 1, padded[-1])
    return padded
