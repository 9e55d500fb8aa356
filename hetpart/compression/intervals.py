"""95 % confidence intervals of measured accuracies: of one share, of the difference of two, of a mean."""

from __future__ import annotations

import math

import numpy as np

Interval = tuple[float, float]

Z = 1.959963984540054
"""97.5 % quantile of the standard normal distribution: two-sided 95 %."""

RESAMPLES = 2000
"""Of the bootstrap."""


def wilson(successes: int, n: int) -> Interval:
    """Interval of a share, by Wilson's score (J. Am. Stat. Assoc. 22, 1927); `n` is at least 1."""
    share, z2 = successes / n, Z * Z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low, high = centre - half, centre + half
    return low if successes else 0.0, high if successes < n else 1.0  # exactly, not up to rounding


def paired_difference(lost: int, won: int, n: int) -> Interval:
    """Interval of the share that is lost when `n` samples are judged twice, by Tango's score (Stat. Med. 17, 1998).

    It inverts McNemar's test with the difference under test in its variance, so it is good for few samples, and has a
    width where nothing changed.

    Args:
        lost: samples right at first and wrong then; `won` the other way.
        n: all samples, at least 1.
    """
    estimate = (lost - won) / n
    low = _crossing(lost, won, n, -1.0, estimate, Z)
    high = _crossing(lost, won, n, estimate, 1.0, -Z)
    return low, high


def _crossing(lost: int, won: int, n: int, low: float, high: float, score: float) -> float:
    """Where the score, which falls as the difference grows, has this value; the end if it does not reach it."""
    for _ in range(60):
        middle = (low + high) / 2
        if _tango(lost, won, n, middle) > score:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _tango(lost: int, won: int, n: int, difference: float) -> float:
    """(lost - won - n d) / sd, with sd under the assumption that the true difference is d."""
    gap = lost - won - n * difference
    a, c = 2.0 * n, -won * difference * (1 - difference)
    b = -lost - won + (2 * n - lost + won) * difference
    # the likeliest share of `won` if the difference is `difference`
    share = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = n * (2 * share + difference * (1 - difference))
    if variance <= 0:
        return math.copysign(math.inf, gap) if gap else 0.0
    return gap / math.sqrt(variance)


def bootstrap_mean(values: np.ndarray, seed: int) -> Interval:
    """Interval of the mean of `values`, shape (n,), by resampling them (percentiles of `RESAMPLES` means)."""
    random = np.random.default_rng(seed)
    means = [values[random.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
