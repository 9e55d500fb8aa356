"""Elementwise steps that follow an anchor operator, as data.

A kernel computes an accumulator and then applies the steps in order: ``acc = op(acc[, operand])``. The same list is
rendered as TIR for the CPU and as OpenCL C for the GPU, and describes a stand-alone elementwise unit as well.
"""

from __future__ import annotations

from dataclasses import dataclass

UNARY = frozenset(
    {
        "relu", "sigmoid", "tanh", "exp", "log", "sqrt", "abs", "neg", "reciprocal", "erf", "floor", "ceil",
        "softplus", "softsign", "gelu", "gelu_tanh", "silu", "hardswish", "mish", "rsqrt", "square", "sign",
    }
)  # fmt: skip
"""Steps without constants. ``gelu`` is the erf form, ``gelu_tanh`` the tanh form, ``silu`` is x * sigmoid(x)."""

PARAMETRIC = {
    "clip": 2,  # min(max(x, lo), hi); infinities allowed
    "leaky_relu": 1,  # x >= 0 ? x : alpha * x
    "elu": 1,
    "hard_sigmoid": 2,  # min(max(alpha * x + beta, 0), 1)
    "add_const": 1,
    "mul_const": 1,
    "pow_const": 1,
}
"""Steps with that many float constants."""

BINARY = frozenset({"add", "sub", "mul", "div", "max", "min", "pow", "prelu"})
"""Steps with one operand tensor, broadcast to the accumulator's shape. ``prelu`` is x >= 0 ? x : operand * x."""


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        op: a name out of `UNARY`, `PARAMETRIC` or `BINARY`.
        constants: the float constants of a parametric step.
        operand: for a binary step, the index of its operand among the unit's operands.
        reverse: for a binary step, ``op(operand, acc)`` instead of ``op(acc, operand)``.
    """

    op: str
    constants: tuple[float, ...] = ()
    operand: int | None = None
    reverse: bool = False

    def __post_init__(self) -> None:
        if self.op in BINARY:
            valid = self.operand is not None and not self.constants
        elif self.op in PARAMETRIC:
            valid = self.operand is None and len(self.constants) == PARAMETRIC[self.op]
        else:
            valid = self.op in UNARY and self.operand is None and not self.constants
        if not valid:
            raise ValueError(f"malformed epilogue step {self}")
