"""What every epilogue step means, in numpy: the executable definition that kernels are tested against.

The arithmetic is done in the accumulator's dtype, so float64 inputs give a reference and float32 inputs a
realistic result. IEEE semantics throughout: NaN propagates, division by zero gives an infinity, without warnings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hetpart.errors import InternalError
from hetpart.graph.epilogue import Step

Array = NDArray[Any]


def apply_steps(acc: Array, steps: Sequence[Step], operands: Sequence[Array]) -> Array:
    """`steps` applied to `acc` one after the other; the result has the shape and dtype of `acc`.

    Args:
        acc: what the anchor computed, a floating-point array; it is not changed.
        steps: the epilogue.
        operands: one array for each operand index of `steps`, each broadcastable to ``acc.shape``.

    Raises:
        InternalError: an operand does not broadcast to the accumulator's shape.
    """
    with np.errstate(all="ignore"):
        for step in steps:
            acc = _apply(acc, step, operands)
    return acc


def _apply(acc: Array, step: Step, operands: Sequence[Array]) -> Array:
    if step.op in _UNARY:
        result = _UNARY[step.op](acc)
    elif step.op in _PARAMETRIC:
        result = _PARAMETRIC[step.op](acc, *(acc.dtype.type(c) for c in step.constants))
    else:
        assert step.operand is not None  # Step's own check
        operand = operands[step.operand].astype(acc.dtype, copy=False)
        left, right = (operand, acc) if step.reverse else (acc, operand)
        result = _BINARY[step.op](left, right)
    if result.shape != acc.shape:
        raise InternalError(
            "operand-shape", f"{step} turns shape {acc.shape} into {result.shape}; an epilogue must keep it"
        )
    return np.asarray(result, dtype=acc.dtype)  # numpy makes scalars of arrays without dimensions


_erf: Callable[[Array], Array] = np.vectorize(math.erf, otypes=[np.float64])
_erfc: Callable[[Array], Array] = np.vectorize(math.erfc, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _softplus(x: Array) -> Array:
    softplus: Array = np.logaddexp(x, np.zeros_like(x))
    return softplus


def _gelu(x: Array) -> Array:
    # 1 + erf(t) == erfc(-t), without the cancellation for large negative t
    return 0.5 * x * _erfc(-x / math.sqrt(2))


def _gelu_tanh(x: Array) -> Array:
    inner: Array = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
    gelu: Array = 0.5 * x * (1 + np.tanh(inner))
    return gelu


_UNARY: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "neg": np.negative,
    "reciprocal": np.reciprocal,
    "erf": _erf,
    "floor": np.floor,
    "ceil": np.ceil,
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": lambda x: x * _sigmoid(x),
    "hardswish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "square": np.square,
    "sign": np.sign,
}

_PARAMETRIC: dict[str, Callable[..., Array]] = {
    "clip": lambda x, lo, hi: np.minimum(np.maximum(x, lo), hi),
    "leaky_relu": lambda x, alpha: np.where(x >= 0, x, alpha * x),
    "elu": lambda x, alpha: np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "hard_sigmoid": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
    "add_const": lambda x, c: x + c,
    "mul_const": lambda x, c: x * c,
    "pow_const": np.power,
}

_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
    "pow": np.power,
    "prelu": lambda x, slope: np.where(x >= 0, x, slope * x),
}
