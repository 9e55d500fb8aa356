"""Epilogue steps as OpenCL C.

A kernel with steps gets a function ``<symbol>_steps(acc, operand0, ...)`` in front of it and calls it for every
accumulator. Only the accurate builtins are used, never the ``native_`` ones. Comparisons are written so that a NaN
stays a NaN, as in hetpart.graph.evaluate; `fmax` and `fmin` would drop it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from hetpart.graph.epilogue import Step
from hetpart.kernels.opencl.text import indent, literal, splat, vector

_SOFTPLUS = "(({a} < {0} ? {0} : {a}) + log1p(exp(-fabs({a}))))"

_UNARY = {
    "relu": "{a} < {0} ? {0} : {a}",
    "sigmoid": "{1} / ({1} + exp(-{a}))",
    "tanh": "tanh({a})",
    "exp": "exp({a})",
    "log": "log({a})",
    "sqrt": "sqrt({a})",
    "abs": "fabs({a})",
    "neg": "-{a}",
    "reciprocal": "{1} / {a}",
    "erf": "erf({a})",
    "floor": "floor({a})",
    "ceil": "ceil({a})",
    "softplus": _SOFTPLUS,
    "softsign": "{a} / ({1} + fabs({a}))",
    "gelu": "0.5f * {a} * ({a} < {0} ? tail : 2.0f - tail)",
    # (1 + tanh(t)) / 2 == 1 / (1 + exp(-2 * t)), without the cancellation for large negative t
    "gelu_tanh": "{a} / ({1} + exp(-1.5957691f * ({a} + 0.044715f * {a} * {a} * {a})))",
    "silu": "{a} / ({1} + exp(-{a}))",
    "hardswish": "{a} * clamp({a} / 6.0f + 0.5f, 0.0f, 1.0f)",
    "mish": "{a} * tanh(" + _SOFTPLUS + ")",
    "rsqrt": "{1} / sqrt({a})",
    "square": "{a} * {a}",
    "sign": "isnan({a}) ? {a} : sign({a})",
}
"""Expressions over the accumulator ``{a}``; ``{0}`` and ``{1}`` are these numbers in every lane."""

_ERFC = (0.168762437, -0.813331951, 1.4732673, -1.12111211, 0.271359044, -0.183968929, 0.0963887292, 0.374124969,
         1.00002265, -1.26551222)  # fmt: skip
"""erfc(z) = t * exp(-z * z + polynomial(t)) with t = 1 / (1 + z / 2), for z >= 0; highest power first.

Least maximum error fit of the polynomial over 0 < t <= 1: erfc is right to a relative 1.1e-7. PoCL works out its own
erf and erfc lane by lane, which takes three times as long.
"""

_BINARY = {
    "add": "{l} + {r}",
    "sub": "{l} - {r}",
    "mul": "{l} * {r}",
    "div": "{l} / {r}",
    "max": "{l} < {r} || isnan({r}) ? {r} : {l}",
    "min": "{l} > {r} || isnan({r}) ? {r} : {l}",
    "pow": "pow({l}, {r})",
    "prelu": "{l} < {0} ? {r} * {l} : {l}",
}


def render(steps: Sequence[Step], acc: str, load_operand: Callable[[int], str], width: int) -> list[str]:
    """Statements that apply `steps` to the variable `acc`, a vector of `width` floats.

    Args:
        load_operand: the expression of an operand, of the same type as `acc`, by its index.
    """
    zero, one = splat("0.0f", width), splat("1.0f", width)
    lines: list[str] = []
    for step in steps:
        if step.operand is not None:
            other = load_operand(step.operand)
            left, right = (other, acc) if step.reverse else (acc, other)
            values = [_BINARY[step.op].format(zero, one, l=left, r=right)]
        elif step.constants:
            values = _parametric(step, acc, width)
        else:
            values = [_UNARY[step.op].format(zero, one, a=acc)]
        assign = [f"{acc} = {value};" for value in values]
        lines += ["{", *indent([*_gelu_tail(acc, width), *assign]), "}"] if step.op == "gelu" else assign
    return lines


def _gelu_tail(acc: str, width: int) -> list[str]:
    """Declaration of ``tail``, erfc(|acc| / sqrt(2)): twice the probability beyond |acc|."""
    form, one = vector(width), splat("1.0f", width)
    return [
        f"const {form} z = fabs({acc}) * 0.70710678f;",
        f"const {form} t = {one} / ({one} + 0.5f * z);",
        f"{form} exponent = {splat(literal(_ERFC[0]), width)};",
        *(f"exponent = exponent * t + {literal(c)};".replace("+ -", "- ") for c in _ERFC[1:]),
        f"const {form} tail = t * exp(exponent - z * z);",
    ]


def _parametric(step: Step, acc: str, width: int) -> list[str]:
    """The values to assign one after the other for a step with constants."""
    zero, one = splat("0.0f", width), splat("1.0f", width)
    first = splat(literal(step.constants[0]), width)
    match step.op:
        case "clip":
            lo, hi = step.constants
            lower, upper = splat(literal(lo), width), splat(literal(hi), width)
            return [
                *([f"{acc} < {lower} ? {lower} : {acc}"] if lo != -math.inf else []),
                *([f"{acc} > {upper} ? {upper} : {acc}"] if hi != math.inf else []),
            ]
        case "hard_sigmoid":
            shift = literal(step.constants[1])
            return [
                f"{acc} * {first} + {shift}",
                f"{acc} < {zero} ? {zero} : {acc}",
                f"{acc} > {one} ? {one} : {acc}",
            ]
        case "leaky_relu":
            return [f"{acc} < {zero} ? {first} * {acc} : {acc}"]
        case "elu":
            return [f"{acc} < {zero} ? {first} * expm1({acc}) : {acc}"]
        case "add_const":
            return [f"{acc} + {first}"]
        case "mul_const":
            return [f"{acc} * {first}"]
    return [f"pow({acc}, {first})"]  # pow_const, the last of epilogue.PARAMETRIC


def function(symbol: str, steps: Sequence[Step], width: int) -> str:
    """The function that a kernel calls for every accumulator; empty if there are no steps."""
    if not steps:
        return ""
    form = vector(width)
    arguments = ", ".join([f"{form} acc", *(f"{form} operand{i}" for i in _operands(steps))])
    body = indent([*render(steps, "acc", lambda i: f"operand{i}", width), "return acc;"])
    return "\n".join([f"{form} {symbol}_steps({arguments})", "{", *body, "}", "", ""])


def call(symbol: str, steps: Sequence[Step], acc: str, operands: Sequence[str]) -> str:
    """The expression that applies `function` to `acc` and the values of all operands."""
    if not steps:
        return acc
    return f"{symbol}_steps({', '.join([acc, *(operands[i] for i in _operands(steps))])})"


def describe(steps: Sequence[Step]) -> str:
    """The steps in words, for a kernel's comment: ``", then add, relu"``, or nothing."""
    return f", then {', '.join(step.op for step in steps)}" if steps else ""


def _operands(steps: Sequence[Step]) -> list[int]:
    return sorted({step.operand for step in steps if step.operand is not None})
