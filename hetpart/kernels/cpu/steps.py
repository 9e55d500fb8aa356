"""Epilogue steps as TIR expressions, and the float32 functions they are made of.

LLVM turns a vector of ``expf`` or ``tanhf`` into one libm call per lane, so exp, tanh, erf and log are written here as
polynomials, which vectorise; their relative error is a few units in 1e-7, and NaN propagates. Only `pow` with a general
exponent calls libm.

Everything here must be called while a TVM IRBuilder is active, best with vectors (loads at a `tirx.Ramp`): a value that
is used twice is held in a register variable of the current frame. Scalars inside a vectorised loop give the same
numbers, but have to be bound to variables, which TVM's passes replace by what is bound to them: the expressions, and
the time to compile them, grow exponentially (seconds for one erf).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.graph.epilogue import Step
from hetpart.kernels.cpu.emit import registers
from hetpart.kernels.cpu.vectors import cast, element_of
from hetpart.kernels.isa import Isa

Expr = Any  # tvm PrimExpr of float32, scalar or vector

HALF_MAX = 65504.0
"""The largest float16."""


def render(steps: Sequence[Step], acc: Expr, load_operand: Callable[[int], Expr], isa: Isa | None = None) -> Expr:
    """`steps` applied to `acc` one after the other.

    Args:
        steps: the epilogue.
        acc: float32 expression, scalar or vector; float16 where `keeps_half`.
        load_operand: the element(s) of operand `i` that belong to `acc`, with as many lanes; cast to its type.
        isa: what the kernel is compiled for, where its epilogue counts: on aarch64 bounds are then FMAX and FMIN.
    """
    one_instruction = isa is not None and isa.triple.startswith("aarch64")
    for step in steps:
        if step.operand is not None:
            operand = cast(load_operand(step.operand), element_of(acc))
            left, right = (operand, acc) if step.reverse else (acc, operand)
            acc = _BINARY[step.op](left, right)
        elif one_instruction and step.op in ("relu", "clip"):
            acc = _neon_clamp(acc, *(step.constants or (0.0, math.inf)))
        elif one_instruction and step.op == "leaky_relu" and 2**-14 <= step.constants[0] <= 1:
            acc = _neon_leaky_relu(acc, *step.constants)
        elif step.constants:
            acc = _PARAMETRIC[step.op](acc, *step.constants)
        else:
            acc = _UNARY[step.op](acc)
    return acc


def finish(
    steps: Sequence[Step], acc: Expr, load_operand: Callable[[int], Expr], stored: str, isa: Isa | None = None
) -> Expr:
    """`render`, rounded to the type in which the result is stored.

    Steps that keep the range of float16 are done in it, where `acc` is; all others in float32.
    """
    if element_of(acc) == "float16" and not keeps_half(steps):
        acc = cast(acc, "float32")
    return cast(render(steps, acc, load_operand, isa), stored)


def keeps_half(steps: Sequence[Step]) -> bool:
    """Whether no value between the steps leaves float16's range unless the result does, and each rounds once."""
    return {step.op for step in steps} <= _IN_HALF and sum(step.op in ("add", "sub") for step in steps) <= 1


_IN_HALF = frozenset(
    {"abs", "add", "clip", "hard_sigmoid", "hardswish", "leaky_relu", "max", "min", "neg", "prelu", "relu", "sub"}
)


def is_long(steps: Sequence[Step]) -> bool:
    """Whether the steps make so much code that a kernel should loop over them instead of unrolling."""
    return any(step.op in _LONG for step in steps)


_LONG = frozenset(
    {"elu", "erf", "exp", "gelu", "gelu_tanh", "log", "mish", "pow", "pow_const", "sigmoid", "silu", "softplus", "tanh"}
)


def exp(x: Expr) -> Expr:
    """e^x over the whole float32 range: infinity above 88.72, denormals and then zero below -87.33."""
    fraction, scale = _exp_parts(x)
    half = scale >> 1  # 2^scale in two factors, of which none overflows
    return (fraction + 1.0) * _power_of_two(half) * _power_of_two(scale - half)


def exp_below(x: Expr) -> Expr:
    """e^x for x <= 0, at half the price of `exp`; zero below -87.7, where it would be denormal."""
    x = _hold(_maximum(x, -87.7))
    whole, power = _whole_power(x * (1 / math.log(2)))
    rest = _hold(x - whole * _LN2_HIGH - whole * _LN2_LOW)
    return _polynomial(rest, (1.0, 1.0, *_EXP)) * power


def expm1(x: Expr) -> Expr:
    """e^x - 1 without cancellation near zero, for x <= 88."""
    fraction, scale = _exp_parts(_maximum(x, -87.0))
    factor = _hold(_power_of_two(scale))
    return factor * fraction + (factor - 1.0)


def log(x: Expr) -> Expr:
    """Natural logarithm: -infinity at zero, NaN below it, denormals included."""
    x = _hold(x)
    tiny = x < constant(x, 2.0**-126)
    bits = _hold(tirx.reinterpret(_dtype("int32", x), _where(tiny, x * 2.0**23, x)))
    exponent = _hold((bits - 0x3F3504F3) >> 23)  # leaves a mantissa of [sqrt(1/2), sqrt(2)), whose bits are subtracted
    mantissa = _hold(tirx.reinterpret(_dtype("float32", x), bits - (exponent << 23)))
    scale = _hold(tirx.Cast(_dtype("float32", x), exponent) - _where(tiny, 23.0, constant(x, 0.0)))
    series = _twice_atanh((mantissa - 1.0) / (mantissa + 1.0), terms=6)
    result = scale * _LN2_HIGH + (scale * _LN2_LOW + series)
    result = _where(x <= 3.4028234e38, result, x)  # infinity and NaN
    result = _where(x < 0.0, math.nan, result)
    return _where(tirx.EQ(x, constant(x, 0.0)), -math.inf, result)


def sigmoid(x: Expr) -> Expr:
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + exp(0.0 - x))


def tanh(x: Expr) -> Expr:
    """Rational minimax approximation on [-9, 9], constant beyond (the 13/6 one of Eigen's generic ``ptanh_float``)."""
    odd = (
        4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08,
        -8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16,
    )  # fmt: skip
    even = (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
    x = _hold(_clamp(x, -9.0, 9.0))
    square = _hold(x * x)
    return x * _polynomial(square, odd) / _polynomial(square, even)


def erf(x: Expr) -> Expr:
    """Two minimax polynomials in |x|, joined at 0.921875 (N. Juffa's ``erff``, as in onnxruntime's MLAS)."""
    near = (1.28379151e-1, -3.76124859e-1, 1.12818025e-1, -2.67667342e-2, 4.99339588e-3, -5.99104969e-4)
    far = (1.28717512e-1, 6.34846687e-1, 1.06777847e-1, -2.42545605e-2, 3.88393435e-3, -3.83208680e-4, 1.72948930e-5)
    x = _hold(x)
    magnitude = _hold(_minimum(tirx.abs(x), 3.925))
    inner = x * _polynomial(_hold(x * x), near) + x
    outer = _hold(1.0 - exp(0.0 - (magnitude * _polynomial(magnitude, far) + magnitude)))
    return _where(magnitude < 0.921875, inner, _where(x < 0.0, 0.0 - outer, outer))


def softplus(x: Expr) -> Expr:
    """log(1 + e^x), as max(x, 0) + log1p(e^-|x|) with log1p(u) = 2 atanh(u / (2 + u))."""
    x = _hold(x)
    u = _hold(exp(0.0 - tirx.abs(x)))
    return _maximum(x, 0.0) + _twice_atanh(u / (u + 2.0), terms=9)


_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4  # their sum is ln 2; products of the first with an exponent are exact


_EXP = (5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4)
"""(e^x - 1 - x) / x^2 for |x| <= ln(2) / 2, of Cephes' ``expf``."""

_EXP2 = (1.0, 6.931472057e-1, 2.402264689e-1, 5.550328762e-2, 9.618488981e-3, 1.339993742e-3, 1.534581517e-4)
"""2^x for |x| <= 1 / 2: relative minimax fit, off by at most 2e-9."""


def _whole_power(x: Expr) -> tuple[Expr, Expr]:
    """``(n, 2^n)`` with the whole number n that is nearest to x, for -127 <= n <= 127; 2^-127 becomes zero.

    Adding 1.5 * 2^23 + 127 rounds, and leaves n + 127 in the low bits: the exponent, once they are shifted there.
    """
    shift = 1.5 * 2.0**23 + 127
    moved = _hold(x + shift)
    bits = tirx.reinterpret(_dtype("int32", moved), moved)
    return _hold(moved - shift), tirx.reinterpret(_dtype("float32", moved), bits << 23)


def _exp_parts(x: Expr) -> tuple[Expr, Expr]:
    """``(fraction, scale)`` with e^x == (1 + fraction) * 2^scale: the reduction of Cephes' ``expf``."""
    x = _hold(_clamp(x, -105.0, 89.0))
    n = _hold(tirx.floor(x * (1 / math.log(2)) + 0.5))
    rest = _hold(x - n * _LN2_HIGH - n * _LN2_LOW)
    return _hold(rest * rest * _polynomial(rest, _EXP) + rest), _hold(tirx.Cast(_dtype("int32", x), n))


def _power_of_two(exponent: Expr) -> Expr:
    return tirx.reinterpret(_dtype("float32", exponent), (exponent + 127) << 23)


def _twice_atanh(s: Expr, terms: int) -> Expr:
    """2 atanh(s) by its Taylor series."""
    s = _hold(s)
    return s * _polynomial(_hold(s * s), [2 / (2 * k + 1) for k in range(terms)])


def _polynomial(x: Expr, coefficients: Sequence[float]) -> Expr:
    """Horner's rule; the coefficient of x^0 stands first."""
    result = constant(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        result = result * x + coefficient
    return result


def _softsign(x: Expr) -> Expr:
    x = _hold(x)
    return x / (tirx.abs(x) + 1.0)


def _gelu(x: Expr) -> Expr:
    """x (1 + erf(x / sqrt 2)) / 2 as max(x, 0) - a t(a), with a = |x| and the tail t(a) = erfc(a / sqrt 2) / 2.

    p is a weighted minimax fit of -(1 + log2 t(a)) / a on [0, 6.4], by which a t(a) is off by at most 1.5e-8 times
    min(1, a). Beyond, it rises on, to a tail of 2^-127, which is zero, where a ends.
    """
    p = (
        1.151106042, 4.591982810e-1, 5.253361478e-2, -7.126867533e-3, 1.917053386e-4, 1.612931135e-4,
        -3.373767003e-5, 2.334937312e-6,
    )  # fmt: skip
    x = _hold(x)
    a = _hold(_minimum(tirx.abs(x), 10.185))
    log2 = _hold(-1.0 - a * _polynomial(a, p))
    whole, power = _whole_power(log2)
    return _maximum(x, 0.0) - a * (_polynomial(_hold(log2 - whole), _EXP2) * power)


def _gelu_tanh(x: Expr) -> Expr:
    x = _hold(x)
    return x * sigmoid((x + x * x * x * 0.044715) * math.sqrt(8 / math.pi))  # (1 + tanh(u)) / 2 == sigmoid(2 u)


def _silu(x: Expr) -> Expr:
    x = _hold(x)
    return x * sigmoid(x)


def _hardswish(x: Expr) -> Expr:
    x = _hold(x)
    return x * _clamp(x * (1 / 6) + 0.5, 0.0, 1.0)


def _mish(x: Expr) -> Expr:
    """x tanh(log(1 + e^x)) == x n / (n + 2) with n = e^x (e^x + 2); the quotient is 1 beyond x = 20."""
    x = _hold(x)
    e = _hold(exp(_minimum(x, 20.0)))
    n = _hold(e * (e + 2.0))
    return x * (n / (n + 2.0))


def _square(x: Expr) -> Expr:
    x = _hold(x)
    return x * x


def _sign(x: Expr) -> Expr:
    x = _hold(x)
    return _where(x > 0.0, 1.0, _where(x < 0.0, -1.0, x))


def _leaky_relu(x: Expr, slope: Expr | float) -> Expr:
    x = _hold(x)
    return _where(x < 0.0, x * (constant(x, slope) if isinstance(slope, float) else slope), x)


def _elu(x: Expr, alpha: float) -> Expr:
    x = _hold(x)
    return _where(x < 0.0, expm1(_minimum(x, 0.0)) * alpha, x)


def _pow_const(x: Expr, exponent: float) -> Expr:
    if exponent == 0.5:
        return tirx.sqrt(x)
    if exponent == int(exponent) and 1 <= abs(exponent) <= 4:
        x = _hold(x)
        product = math.prod([x] * (int(abs(exponent)) - 1), start=x)
        return product if exponent > 0 else 1.0 / product
    return tirx.pow(x, constant(x, exponent))


def _larger(a: Expr, b: Expr) -> Expr:
    a, b = _hold(a), _hold(b)
    return _where(a <= math.inf, _where(a > b, a, b), a)  # the inner one yields b unless both are numbers


def _smaller(a: Expr, b: Expr) -> Expr:
    a, b = _hold(a), _hold(b)
    return _where(a <= math.inf, _where(a < b, a, b), a)


def _clamp(x: Expr, lo: float, hi: float) -> Expr:
    return _minimum(_maximum(x, lo), hi)


def _maximum(x: Expr, bound: float) -> Expr:
    """max(x, bound) that keeps NaN; LLVM makes one instruction of it."""
    x = _hold(x)
    return _where(x < constant(x, bound), bound, x)


def _minimum(x: Expr, bound: float) -> Expr:
    """min(x, bound) that keeps NaN."""
    x = _hold(x)
    return _where(x > constant(x, bound), bound, x)


def _neon_clamp(x: Expr, lo: float, hi: float) -> Expr:
    """`_clamp` as FMAX and FMIN, which keep NaN too; LLVM makes four of the comparison because of -0."""
    if lo > -math.inf:
        x = tirx.call_llvm_pure_intrin(x.ty.dtype, "llvm.maximum", x, constant(x, lo))
    if hi < math.inf:
        x = tirx.call_llvm_pure_intrin(x.ty.dtype, "llvm.minimum", x, constant(x, hi))
    return x


def _neon_leaky_relu(x: Expr, slope: float) -> Expr:
    """`_leaky_relu` as FMUL and FMAX, for slopes up to 1 that are not zero in float16: infinity times zero is NaN."""
    x = _hold(x)
    return tirx.call_llvm_pure_intrin(x.ty.dtype, "llvm.maximum", x, x * constant(x, slope))


def _hold(value: Expr) -> Expr:
    """`value`, computed once."""
    if value.ty.dtype.lanes == 1:
        return T.Bind(value)  # a register would be shared by the lanes of an enclosing vectorised loop
    register = registers((1,), str(value.ty.dtype))
    T.buffer_store(register, value, [0])
    return register[0]


def _where(condition: Expr, then: Expr | float, otherwise: Expr) -> Expr:
    return tirx.Select(condition, constant(otherwise, then) if isinstance(then, float) else then, otherwise)


def constant(like: Expr, value: float) -> Expr:
    """`value` in as many lanes as `like` has, of its type; infinity beyond the range of float16."""
    element = element_of(like)
    if element == "float16" and abs(value) > HALF_MAX:
        value = math.copysign(math.inf, value)
    return tirx.const(value, _dtype(element, like))


def _dtype(element: str, like: Expr) -> str:
    """The type of `element` with as many lanes as `like`."""
    lanes = like.ty.dtype.lanes
    return element if lanes == 1 else f"{element}x{lanes}"


_UNARY: dict[str, Callable[[Expr], Expr]] = {
    "relu": lambda x: _maximum(x, 0.0),
    "sigmoid": sigmoid,
    "tanh": tanh,
    "exp": exp,
    "log": log,
    "sqrt": tirx.sqrt,
    "abs": tirx.abs,
    "neg": lambda x: 0.0 - x,
    "reciprocal": lambda x: 1.0 / x,
    "erf": erf,
    "floor": tirx.floor,
    "ceil": tirx.ceil,
    "softplus": softplus,
    "softsign": _softsign,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "hardswish": _hardswish,
    "mish": _mish,
    "rsqrt": lambda x: 1.0 / tirx.sqrt(x),
    "square": _square,
    "sign": _sign,
}

_PARAMETRIC: dict[str, Callable[..., Expr]] = {
    "clip": _clamp,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "hard_sigmoid": lambda x, alpha, beta: _clamp(x * alpha + beta, 0.0, 1.0),
    "add_const": lambda x, c: x + c,
    "mul_const": lambda x, c: x * c,
    "pow_const": _pow_const,
}

_BINARY: dict[str, Callable[[Expr, Expr], Expr]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "max": _larger,
    "min": _smaller,
    "pow": tirx.pow,
    "prelu": _leaky_relu,
}
