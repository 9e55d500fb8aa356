"""Quantised tensors, and what a unit on them computes in integers.

A quantised model says in real numbers what is meant in integers: DequantizeLinear, operator, QuantizeLinear. A unit
that covers all three reads and writes the integers; its `Quantised` holds what its kernel needs to know of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}
"""Types of quantised activations, with their ranges."""


@dataclass(frozen=True)
class Scheme:
    """Per-tensor quantisation: real = scale * (stored - zero_point), the scale being exact in float32."""

    scale: float
    zero_point: int
    dtype: str


@dataclass(frozen=True, eq=False)
class Weights:
    """Constants of a quantised product.

    Attributes:
        value: the initialiser with the stored integers.
        zero_point: of the stored integers, one per output channel or one for all; less it they fit int8.
        scale: float32, one per output channel.
        bias: int32, one per output channel, in units of input scale times weight scale.
    """

    value: str
    zero_point: np.ndarray
    scale: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True, eq=False)
class Quantised:
    """The integer side of a unit.

    Attributes:
        inputs: schemes of the tensors read: the data, then the epilogue's operands; None for float32.
        output: scheme of the result, None for float32.
        low: least stored result: the type's, or what a Relu or Clip leaves.
        high: greatest stored result.
        weights: of a convolution or product.
    """

    inputs: tuple[Scheme | None, ...]
    output: Scheme | None
    low: int = 0
    high: int = 0
    weights: Weights | None = None
