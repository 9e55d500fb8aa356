"""From int32 sums to stored results, with onnxruntime's arithmetic: float32 multiplier, ties to even, saturation."""

from __future__ import annotations

import numpy as np
from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.kernels.cpu.emit import Expr
from hetpart.kernels.cpu.vectors import dtype_of
from hetpart.kernels.spec import Rounding

_MAGIC = 12582912.0
"""1.5 * 2^23: the last bit of a float32 of this size counts ones, so adding it rounds to the nearest even integer."""


def store_form(real: Expr, y: Rounding, dtype: str) -> Expr:
    """`real` (float32, in units of the output's scale) as integers of `dtype`.

    The bounds are applied before rounding, as onnxruntime does; NaN becomes `y.low`.
    """
    low, high = float(y.low - y.zero_point), float(y.high - y.zero_point)
    lanes = real.ty.dtype.lanes
    bounded = tirx.Select(real > tirx.const(low, real.ty.dtype), real, tirx.const(low, real.ty.dtype))
    bounded = tirx.Select(bounded < tirx.const(high, real.ty.dtype), bounded, tirx.const(high, real.ty.dtype))
    return tirx.Cast(dtype_of(lanes, dtype), rounded(bounded) + y.zero_point)


def rounded(real: Expr) -> Expr:
    """`real` (float32, magnitude below 2^22) as int32, ties to even."""
    bits = int(np.float32(_MAGIC).view(np.int32))
    return tirx.reinterpret(dtype_of(real.ty.dtype.lanes, "int32"), real + _MAGIC) - bits


def rounded_product(a: Expr, b: float) -> Expr:
    """``a * b`` in float32, which a following addition is not fused with: the comparison stands between them."""
    product = T.Bind(a * b)
    least = tirx.const(float(np.finfo(np.float32).min), product.ty.dtype)
    return tirx.Select(product > least, product, least)


def finish(total: Expr, scale: Expr, y: Rounding | None, dtype: str) -> Expr:
    """int32 `total` times float32 `scale`, stored as `y` says; float32 without it."""
    real = tirx.Cast(dtype_of(total.ty.dtype.lanes), total) * scale
    return real if y is None else store_form(real, y, dtype)
