"""Elementwise steps between quantised or float32 tensors; without steps QuantizeLinear and DequantizeLinear.

Loops as in hetpart.kernels.cpu.eltwise. Values are computed as real numbers in float32 and divided by the scale of the
output, except where onnxruntime has an operator of its own: sums and products of two quantised tensors take the
arithmetic of its QLinearAdd and QLinearMul, so that even ties come out the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked, Layout, Plain
from hetpart.kernels.cpu.emit import (
    Buffer,
    Expr,
    check_blocked_operands,
    flat,
    locate_row,
    range_kernel,
    row_extent,
    zero_halo,
)
from hetpart.kernels.cpu.requantise import rounded_product, store_form
from hetpart.kernels.cpu.runs import map_vectors
from hetpart.kernels.cpu.steps import render
from hetpart.kernels.cpu.strided import Nest, broadcast_nest, for_each_run
from hetpart.kernels.cpu.vectors import dtype_of, operand_vector, splat, vector
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import QEltwiseSpec, Rounding

_DTYPES = ("float32", "int8", "uint8")


def extent(spec: QEltwiseSpec, isa: Isa) -> int:
    """Output rows where blocked, else work items of the loop nest."""
    return row_extent(spec.out) if isinstance(spec.out, Blocked) else _nest(spec).items


def pack(spec: QEltwiseSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Scales and zero points are part of the code."""
    return ()


def prim_func(spec: QEltwiseSpec, isa: Isa, symbol: str) -> Any:
    """``(x, operands..., out, lo, hi)``."""
    arguments = (spec.x, *spec.operands, spec.out)
    if any(isinstance(layout, Blocked) != isinstance(spec.out, Blocked) for layout in arguments):
        raise InternalError("kernel-layout", "an elementwise kernel mixes blocked and row-major tensors")
    if any(layout.dtype not in _DTYPES for layout in arguments) or len(spec.schemes) != len(arguments) - 1:
        raise InternalError("kernel-layout", f"a quantised elementwise kernel cannot take {arguments}")
    if isinstance(spec.out, Blocked):
        return range_kernel(symbol, arguments, _blocked_body(spec, spec.out, isa))
    return range_kernel(symbol, arguments, _plain_body(spec, spec.out, isa))


def _blocked_body(spec: QEltwiseSpec, out: Blocked, isa: Isa) -> Callable[..., None]:
    layouts = (spec.x, *spec.operands)
    check_blocked_operands(out, layouts)

    def body(item: Expr, *buffers: Buffer) -> None:
        result = buffers[-1]
        image, block, y = locate_row(item, out)
        zero_halo(result, out, image, block, y)
        with T.serial(0, out.w) as column:

            def element(tensor: int) -> Expr:
                layout = layouts[tensor]
                assert isinstance(layout, Blocked)  # checked above
                return operand_vector(buffers[tensor], layout, image, block, y, column, out.block)

            at = [image, block, out.halo.top + y, out.halo.left + column, vector(out.block)]
            T.buffer_store(result, _value(spec, element, isa), at)

    return body


def _plain_body(spec: QEltwiseSpec, out: Plain, isa: Isa) -> Callable[..., None]:
    nest = _nest(spec)
    layouts: tuple[Layout, ...] = (spec.x, *spec.operands, out)

    def body(item: Expr, *buffers: Buffer) -> None:
        *inputs, result = (flat(b, math.prod(f.shape), f.dtype) for b, f in zip(buffers, layouts, strict=True))

        def run(offsets: list[Expr], length: Expr) -> None:
            def step(start: Expr, width: int) -> None:
                def elements(tensor: int) -> Expr:
                    if nest.strides[1 + tensor][-1] == 0:
                        return splat(inputs[tensor][offsets[1 + tensor]], width)
                    return inputs[tensor][vector(width, offsets[1 + tensor] + start)]

                T.buffer_store(result, _value(spec, elements, isa), [vector(width, offsets[0] + start)])

            map_vectors(length, nest.share, isa.lanes, step)

        for_each_run(item, nest, run)

    return body


def _value(spec: QEltwiseSpec, load: Callable[[int], Expr], isa: Isa) -> Expr:
    """What is stored for the elements ``load(tensor)``: tensor 0 is x, the operands follow."""
    if (stored := _integer_form(spec, load, isa)) is not None:
        return stored

    def number(tensor: int) -> Expr:
        scheme, value = spec.schemes[tensor], load(tensor)
        if scheme is None:
            return value
        scale, zero_point = scheme
        return (_float(value) - float(zero_point)) * scale

    real = render(spec.steps, number(0), lambda i: number(1 + i))
    return real if spec.y is None else store_form(T.Bind(real / spec.scale), spec.y, spec.out.dtype)


def _integer_form(spec: QEltwiseSpec, load: Callable[[int], Expr], isa: Isa) -> Expr | None:
    """A sum or product of two quantised tensors by onnxruntime's formulas, None for all else."""
    y = spec.y
    if y is None or [(s.op, s.operand) for s in spec.steps] not in ([("add", 0)], [("mul", 0)]) or None in spec.schemes:
        return None
    (a_scale, a_zero), (b_scale, b_zero) = (s for s in spec.schemes if s is not None)
    f, out_scale, zero = np.float32, np.float32(spec.scale), np.float32(y.zero_point)
    a, b = _float(load(0)), _float(load(1))
    whole = Rounding(0, y.low, y.high)  # the zero point is added before rounding, and so decides where ties go
    if spec.steps[0].op == "mul":
        ratio = float(f(a_scale) * f(b_scale) / out_scale)
        real = rounded_product((a - float(a_zero)) * (b - float(b_zero)), ratio) + float(zero)
        return store_form(T.Bind(real), whole, spec.out.dtype)
    a_ratio, b_ratio = f(a_scale) / out_scale, f(b_scale) / out_scale
    fixed = zero - (a_ratio * f(a_zero) + b_ratio * f(b_zero))
    total = _multiply_add(a, float(a_ratio), _multiply_add(b, float(b_ratio), float(fixed), isa), isa)
    return store_form(T.Bind(total), whole, spec.out.dtype)


def _multiply_add(a: Expr, b: float, c: Expr | float, isa: Isa) -> Expr:
    """``a * b + c``, rounded once where the instruction set can do that."""
    dtype = a.ty.dtype
    c = tirx.const(c, dtype) if isinstance(c, float) else c
    if isa.triple.startswith("aarch64") or isa.has("fma"):
        return T.call_llvm_pure_intrin(str(dtype), "llvm.fma", a, tirx.const(b, dtype), c)
    return a * b + c


def _float(value: Expr) -> Expr:
    return tirx.Cast(dtype_of(value.ty.dtype.lanes), value)


def _nest(spec: QEltwiseSpec) -> Nest:
    return broadcast_nest(spec.out.shape, [layout.shape for layout in (spec.x, *spec.operands)])
