"""Intervals against published examples, against their definitions, and in coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hetpart.compression.intervals import Z, bootstrap_mean, paired_difference, wilson


def test_wilson_s_published_example() -> None:
    """81 of 263, from Newcombe (Stat. Med. 17, 1998), table I."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


@given(n=st.integers(1, 3000), share=st.floats(0, 1))
def test_wilson_inverts_the_score_test(n: int, share: float) -> None:
    successes = round(n * share)
    for bound in wilson(successes, n):
        if 0 < bound < 1:
            score = (successes - n * bound) / math.sqrt(n * bound * (1 - bound))
            assert abs(score) == pytest.approx(Z, rel=1e-6)
    low, high = wilson(successes, n)
    assert low - 1e-12 <= successes / n <= high + 1e-12


def test_tango_s_published_example() -> None:
    """Airway hyper-responsiveness before and after a transplantation: 1, 1, 7 and 12 of 21 (Fagerland et al. 2014)."""
    assert paired_difference(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


def _score(lost: int, won: int, n: int, difference: float) -> float:
    """The score statistic, its nuisance parameter found by search for the largest likelihood instead of a formula."""
    shares = np.linspace(max(0.0, -difference), min(1.0, (1 - difference) / 2), 400_001)[1:-1]
    same = 1 - 2 * shares - difference
    likelihood = (n - lost - won) * np.log(same) + won * np.log(shares) + lost * np.log(shares + difference)
    share = float(shares[np.nanargmax(likelihood)])
    return (lost - won - n * difference) / math.sqrt(n * (2 * share + difference * (1 - difference)))


@pytest.mark.parametrize("counts", [(12, 2, 50), (1, 7, 21), (30, 5, 540), (3, 3, 40), (200, 1, 540)])
def test_tango_s_interval_ends_where_the_score_does(counts: tuple[int, int, int]) -> None:
    low, high = paired_difference(*counts)
    assert _score(*counts, low) == pytest.approx(Z, rel=1e-3)
    assert _score(*counts, high) == pytest.approx(-Z, rel=1e-3)


@given(n=st.integers(1, 2000), a=st.floats(0, 1), b=st.floats(0, 1))
@example(n=1, a=0.0, b=0.0)
@example(n=5, a=1.0, b=0.0)
def test_paired_differences(n: int, a: float, b: float) -> None:
    lost = round(n * a)
    won = round((n - lost) * b)
    low, high = paired_difference(lost, won, n)
    assert -1 <= low <= (lost - won) / n + 1e-9
    assert (lost - won) / n - 1e-9 <= high <= 1
    assert high - low > 1e-4  # no number of samples is certain
    swapped = paired_difference(won, lost, n)
    assert swapped == pytest.approx((-high, -low), abs=1e-9)


def test_nothing_changed_is_not_certain() -> None:
    low, high = paired_difference(0, 0, 100)
    assert (low, high) == pytest.approx((-Z * Z / (100 + Z * Z), Z * Z / (100 + Z * Z)), abs=1e-9)


def test_bootstrap_covers_the_mean_and_repeats() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        low, high = bootstrap_mean(random.standard_normal(60) + 3, seed)
        covered += low <= 3 <= high
    assert 175 <= covered <= 198
    values = random.random(50)
    assert bootstrap_mean(values, 7) == bootstrap_mean(values, 7) != bootstrap_mean(values, 8)
