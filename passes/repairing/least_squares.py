"""Corrections of weights by ridge regression, from sums over samples: no more than a square matrix is kept of them.

Products are in float64: behind a Relu the largest eigenvalue of a thousand columns is hundreds of times the mean, and
float32 would round it by more than the weakest ridge term.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hetpart.passes.edit import Array

RIDGES = (10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)
"""Weights of the ridge term that are tried, in units of each column's own sum of squares."""

WORTH = 0.99
"""A weaker ridge must bring the error down to this share of what it is, or it is not worth its risk."""


STRONGEST = 1.0
"""Size of a correction's output, were its columns independent, relative to the output. A larger one rests on columns
that cancel out on these samples and need not on others."""


@dataclass
class Sums:
    """Sums over rows of x and e, in float64: columns X of a layer's input, errors E of its output.

    Attributes:
        gram: X'X, [groups, k, k].
        moment: X'E, [groups, k, n].
        error: sum of E squared; `size`: of the output that should be, squared.
    """

    gram: Array
    moment: Array
    error: float = 0.0
    size: float = 0.0

    @staticmethod
    def zero(groups: int, k: int, n: int) -> Sums:
        return Sums(np.zeros((groups, k, k)), np.zeros((groups, k, n)))

    def add(self, x: Array, error: Array, wanted: Array) -> None:
        """Rows x [groups, rows, k], error and wanted output [groups, rows, n], all float32."""
        x, error = x.astype(np.float64), error.astype(np.float64)
        rows = x.swapaxes(1, 2)
        self.gram += rows @ x
        self.moment += rows @ error
        self.error += float(np.square(error).sum())
        self.size += float(np.square(wanted, dtype=np.float64).sum())

    def solve(self, ridge: float, free: int) -> Array:
        """D [groups, k, n] that minimises |E - X D|^2 and the ridge term, which leaves the last `free` rows alone."""
        squares = np.diagonal(self.gram, axis1=1, axis2=2)
        weights = squares * ridge
        weights[:, weights.shape[1] - free :] = 0
        weights[squares == 0] = 1  # an input that is always zero: its weights stay
        matrix = self.gram.copy()
        diagonal = np.arange(matrix.shape[1])
        matrix[:, diagonal, diagonal] += weights
        solution: Array = np.linalg.solve(matrix, self.moment)
        return solution

    def strength(self, correction: Array) -> float:
        """The root of the power of X D, were its columns independent, over the norm of the wanted output."""
        squares = np.diagonal(self.gram, axis1=1, axis2=2)
        return math.sqrt(float((squares[:, :, None] * np.square(correction)).sum()) / self.size) if self.size else 0.0

    def relative(self, correction: Array | None = None) -> float:
        """|E - X D| over the norm of the wanted output."""
        left = self.error
        if correction is not None:
            left += float(np.sum(correction * (self.gram @ correction - 2 * self.moment)))
        return math.sqrt(max(left, 0.0) / self.size) if self.size else 0.0


@dataclass
class Regression:
    """A layer's correction, fitted on some samples and judged on others.

    Nothing is ever fitted on the others: along a deep network they stay what other samples are too, and a correction
    that does not carry over to those, and would be amplified by the layers behind it, is seen.

    Attributes:
        fitted: sums over those that the correction is fitted on.
        held_out: over those that choose the ridge and say what is gained.
        free: columns at the end that the ridge leaves alone: the bias.
    """

    fitted: Sums
    held_out: Sums
    free: int

    def solve(self) -> tuple[Array | None, float, float]:
        """The correction, or None where none helps, and the relative errors before and after on the samples held out.

        The ridge is the one that serves these best, looked for from the strongest on for as long as they gain.
        """
        before = self.held_out.relative()
        best, after = None, before
        for ridge in RIDGES:
            try:
                correction = self.fitted.solve(ridge, self.free)
            except np.linalg.LinAlgError:
                break
            error = self.held_out.relative(correction)
            if error > WORTH * after or self.fitted.strength(correction) > STRONGEST:
                break
            best, after = correction, error
        return best, before, after

    def relative(self) -> float:
        """The relative error before, on all samples."""
        size = self.fitted.size + self.held_out.size
        return math.sqrt((self.fitted.error + self.held_out.error) / size) if size else 0.0
