"""Durations and sizes at the borders of their units."""

from __future__ import annotations

import pytest

from hetpart.report.quantities import duration, size


@pytest.mark.parametrize(
    ("us", "text"),
    [(0, "0 us"), (0.6, "1 us"), (999, "999 us"), (1000, "1.00 ms"), (12_340, "12.34 ms"), (2.5e6, "2.50 s")],
)
def test_duration(us: float, text: str) -> None:
    assert duration(us) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (12_400_000, "12.4 MB")]
)
def test_size(size_bytes: int, text: str) -> None:
    assert size(size_bytes) == text
