"""A stand-alone chain of elementwise steps over blocked maps or over row-major tensors with broadcasting.

Blocked: one output row of one channel block per work item. Row-major: stretches of the collapsed loop nest, computed in
float32 whatever they are stored in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked, Plain
from hetpart.kernels.cpu.emit import (
    Buffer,
    Expr,
    check_blocked_operands,
    flat,
    locate_row,
    plain_real,
    range_kernel,
    row_extent,
    zero_halo,
)
from hetpart.kernels.cpu.runs import map_vectors
from hetpart.kernels.cpu.steps import finish, render
from hetpart.kernels.cpu.strided import Nest, broadcast_nest, for_each_run
from hetpart.kernels.cpu.vectors import cast, operand_vector, splat, vector
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import EltwiseSpec


def extent(spec: EltwiseSpec, isa: Isa) -> int:
    """Output rows where blocked, else work items of the loop nest."""
    return row_extent(spec.out) if isinstance(spec.out, Blocked) else _nest(spec).items


def pack(spec: EltwiseSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Constants of the steps are part of the code."""
    return ()


def prim_func(spec: EltwiseSpec, isa: Isa, symbol: str) -> Any:
    """``(x, operands..., out, lo, hi)``."""
    if any(isinstance(layout, Blocked) != isinstance(spec.out, Blocked) for layout in (spec.x, *spec.operands)):
        raise InternalError("kernel-layout", "an elementwise kernel mixes blocked and row-major tensors")
    arguments = (spec.x, *spec.operands, spec.out)
    if isinstance(spec.out, Blocked):
        return range_kernel(symbol, arguments, _blocked_body(spec, spec.out, isa))
    plain_real(*arguments)
    return range_kernel(symbol, arguments, _plain_body(spec, spec.out, isa))


def _blocked_body(spec: EltwiseSpec, out: Blocked, isa: Isa) -> Any:
    check_blocked_operands(out, (spec.x, *spec.operands))
    half = isa if out.dtype == "float16" else None

    def body(item: Expr, x: Buffer, *rest: Buffer) -> None:
        operands, result = rest[:-1], rest[-1]
        image, block, y = locate_row(item, out)
        zero_halo(result, out, image, block, y)
        with T.serial(0, out.w) as column:

            def element(buffer: Buffer, layout: Any) -> Expr:
                return operand_vector(buffer, layout, image, block, y, column, out.block)

            value = finish(
                spec.steps, element(x, spec.x), lambda i: element(operands[i], spec.operands[i]), out.dtype, half
            )
            at = [image, block, out.halo.top + y, out.halo.left + column, vector(out.block)]
            T.buffer_store(result, value, at)

    return body


def _plain_body(spec: EltwiseSpec, out: Plain, isa: Isa) -> Any:
    nest = _nest(spec)

    def body(item: Expr, *buffers: Buffer) -> None:
        layouts = (spec.x, *spec.operands, out)
        x, *operands, result = (
            flat(buffer, math.prod(layout.shape), layout.dtype) for buffer, layout in zip(buffers, layouts, strict=True)
        )

        def run(offsets: list[Expr], length: Expr) -> None:
            def step(start: Expr, width: int) -> None:
                def elements(buffer: Buffer, tensor: int) -> Expr:
                    if nest.strides[tensor][-1] == 0:
                        return splat(cast(buffer[offsets[tensor]], "float32"), width)
                    return cast(buffer[vector(width, offsets[tensor] + start)], "float32")

                value = render(spec.steps, elements(x, 1), lambda k: elements(operands[k], 2 + k))
                T.buffer_store(result, cast(value, out.dtype), [vector(width, offsets[0] + start)])

            map_vectors(length, nest.share, isa.lanes, step)

        for_each_run(item, nest, run)

    return body


def _nest(spec: EltwiseSpec) -> Nest:
    return broadcast_nest(spec.out.shape, [layout.shape for layout in (spec.x, *spec.operands)])
