"""A stand-alone chain of elementwise steps over blocked maps or over row-major tensors with broadcasting.

Blocked: one output row of one channel block per work item. Row-major: stretches of the collapsed loop nest.
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
    blocked_element,
    check_blocked_operands,
    flat,
    locate_row,
    map_vectors,
    plain_float32,
    range_kernel,
    row_extent,
    zero_halo,
)
from hetpart.kernels.cpu.steps import render
from hetpart.kernels.cpu.strided import Nest, broadcast_nest, for_each_run
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
        return range_kernel(symbol, arguments, _blocked_body(spec, spec.out))
    plain_float32(*arguments)
    return range_kernel(symbol, arguments, _plain_body(spec, spec.out, isa))


def _blocked_body(spec: EltwiseSpec, out: Blocked) -> Any:
    check_blocked_operands(out, (spec.x, *spec.operands))

    def body(item: Expr, x: Buffer, *rest: Buffer) -> None:
        operands, result = rest[:-1], rest[-1]
        image, block, y = locate_row(item, out)
        zero_halo(result, out, image, block, y)
        with T.serial(0, out.w) as column, T.vectorized(0, out.block) as v:

            def element(buffer: Buffer, layout: Any) -> Expr:
                return blocked_element(buffer, layout, image, block, y, column, v)

            value = render(spec.steps, element(x, spec.x), lambda i: element(operands[i], spec.operands[i]))
            T.buffer_store(result, value, [image, block, out.halo.top + y, out.halo.left + column, v])

    return body


def _plain_body(spec: EltwiseSpec, out: Plain, isa: Isa) -> Any:
    nest = _nest(spec)

    def body(item: Expr, *buffers: Buffer) -> None:
        layouts = (spec.x, *spec.operands, out)
        x, *operands, result = (
            flat(buffer, math.prod(layout.shape), "float32") for buffer, layout in zip(buffers, layouts, strict=True)
        )

        def run(offsets: list[Expr], length: Expr) -> None:
            def step(i: Expr) -> None:
                def element(buffer: Buffer, tensor: int) -> Expr:
                    return buffer[offsets[tensor] + i * nest.strides[tensor][-1]]

                value = render(spec.steps, element(x, 1), lambda k: element(operands[k], 2 + k))
                T.buffer_store(result, value, [offsets[0] + i])

            map_vectors(length, nest.share, isa.lanes, step)

        for_each_run(item, nest, run)

    return body


def _nest(spec: EltwiseSpec) -> Nest:
    return broadcast_nest(spec.out.shape, [layout.shape for layout in (spec.x, *spec.operands)])
