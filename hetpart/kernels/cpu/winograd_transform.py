"""The one-dimensional transforms of F(2, 3) and F(4, 3) in TIR, with common subexpressions shared.

hetpart.kernels.winograd has the points, and the filters' transform.
"""

from __future__ import annotations

from collections.abc import Sequence

from hetpart.kernels.cpu.emit import Expr
from hetpart.kernels.cpu.steps import constant

INPUT_PARTS = {2: ((0, 1, 2, 3),), 4: ((1, 2), (3, 4), (0, 5))}
"""By m, the values of `input_line` in groups that need few of its arguments."""

OUTPUT_PARTS = {2: ((0, 1),), 4: ((0, 2), (1, 3))}
"""The same of `output_line`."""


def input_line(m: int, d: Sequence[Expr]) -> list[Expr]:
    """B' d for m + 2 values (vectors of equal length)."""
    if m == 2:
        return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]
    even, odd = d[4] - _times(4, d[2]), d[3] - _times(4, d[1])
    low, high = d[4] - d[2], _times(2, d[3] - d[1])
    return [
        _times(4, d[0]) - _times(5, d[2]) + d[4],
        even + odd,
        even - odd,
        low + high,
        low - high,
        _times(4, d[1]) - _times(5, d[3]) + d[5],
    ]


def output_line(m: int, t: Sequence[Expr]) -> list[Expr]:
    """A' t for m + 2 values: m outputs."""
    if m == 2:
        return [t[0] + t[1] + t[2], t[1] - t[2] - t[3]]
    sum_1, difference_1, sum_2, difference_2 = t[1] + t[2], t[1] - t[2], t[3] + t[4], t[3] - t[4]
    return [
        t[0] + sum_1 + sum_2,
        difference_1 + _times(2, difference_2),
        sum_1 + _times(4, sum_2),
        difference_1 + _times(8, difference_2) + t[5],
    ]


def _times(factor: float, value: Expr) -> Expr:
    return constant(value, factor) * value
