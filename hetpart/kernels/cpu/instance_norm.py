"""Instance normalisation of a blocked map: one channel block of one image per work item.

Three passes over the plane: mean, variance around it, result. Sums are kept per row and then joined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.graph.layout import Plain
from hetpart.kernels.cpu.emit import (
    Buffer,
    Expr,
    blocked_element,
    check_blocked_operands,
    decode,
    range_kernel,
    reduce_plane,
    registers,
    zero_halo,
)
from hetpart.kernels.cpu.steps import finish
from hetpart.kernels.cpu.vectors import cast, operand_vector, vector
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import InstanceNormSpec


def extent(spec: InstanceNormSpec, isa: Isa) -> int:
    """Channel blocks over all images."""
    return spec.out.n * spec.out.blocks


def pack(spec: InstanceNormSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """``scale`` and ``b`` as (blocks, block) float32, spare lanes zero."""
    packed = []
    for role in ("scale", "b"):
        lanes = np.zeros(spec.out.blocks * spec.out.block, dtype=np.float32)
        lanes[: spec.out.c] = constants[role].reshape(-1)
        packed.append(lanes.reshape(spec.out.blocks, spec.out.block))
    return tuple(packed)


def prim_func(spec: InstanceNormSpec, isa: Isa, symbol: str) -> Any:
    """``(x, operands..., scale, b, out, lo, hi)``."""
    x_map, out = spec.x, spec.out
    if (x_map.shape, x_map.block) != (out.shape, out.block):
        raise InternalError("kernel-layout", f"instance normalisation cannot go from {x_map} to {out}")
    check_blocked_operands(out, spec.operands)

    def body(item: Expr, x: Buffer, *rest: Buffer) -> None:
        *operands, scale, bias, result = rest
        image, block = decode(item, (out.n, out.blocks))
        lanes = vector(out.block)
        mean, factor = registers((out.block,)), registers((out.block,))

        def element(y: Expr, column: Expr, v: Expr) -> Expr:
            return cast(blocked_element(x, x_map, image, block, y, column, v), "float32")

        def average(value: Callable[[Expr, Expr, Expr], Expr], target: Buffer) -> None:
            reduce_plane(x_map, 0.0, lambda a, b: a + b, value, target)
            with T.vectorized(0, out.block) as v:
                T.buffer_store(target, target[v] / T.float32(out.h * out.w), [v])

        def squared(y: Expr, column: Expr, v: Expr) -> Expr:
            centred = element(y, column, v) - mean[v]
            return centred * centred

        average(element, mean)
        average(squared, factor)
        with T.vectorized(0, out.block) as v:
            T.buffer_store(factor, scale[block, v] / T.sqrt(factor[v] + T.float32(spec.epsilon)), [v])
        with T.serial(0, out.h) as y:
            zero_halo(result, out, image, block, y)
            with T.serial(0, out.w) as column:
                value = cast(operand_vector(x, x_map, image, block, y, column, out.block), "float32") - mean[lanes]
                value = value * factor[lanes] + bias[block, lanes]

                def operand(i: int) -> Expr:
                    return operand_vector(operands[i], spec.operands[i], image, block, y, column, out.block)

                value = finish(spec.steps, value, operand, out.dtype)
                T.buffer_store(result, value, [image, block, out.halo.top + y, out.halo.left + column, lanes])

    per_lane = Plain((out.blocks, out.block))
    return range_kernel(symbol, (x_map, *spec.operands, per_lane, per_lane, out), body)
