"""From samples to times: sums stay, hand-overs are told apart, lines ignore outliers."""

from __future__ import annotations

import pytest

from hetpart.profile.samples import Sample
from hetpart.profile.summary import Run, line, summarise

KEYS = {(unit, "cpu"): ("shared", "same") for unit in "ab"} | {("b", "gpu"): ("shared", "other")}


def sample(unit: str, processor: str, ready: float, start: float, end: float, first: bool, source: str) -> Sample:
    return Sample(unit, processor, ("kernel",), ready, start, end, first, source, 64 if source else 0)


def test_units_with_one_key_share_the_mean_so_that_the_sum_stays() -> None:
    runs = [
        Run(40.0 + k, [sample("a", "cpu", 0, 5, 15, True, ""), sample("b", "cpu", 15, 16, 39 + k, False, "")])
        for k in range(4)
    ]
    times = summarise({"main": runs}, KEYS)
    (entry,) = times.entries
    assert entry.units == ("a", "b")
    # a: 10 and a launch of 1, b: 24 + 1.5 in the middle half of the runs
    assert 2 * entry.latency_us == pytest.approx(11 + 25.5)
    assert entry.spread.n == 8
    assert times.launch_us["cpu"].median_us == 1


def test_what_a_unit_loses_behind_another_processor_is_the_link_s() -> None:
    alone = Run(30, [sample("b", "gpu", 0, 2, 20, False, "")])
    behind = Run(60, [sample("b", "gpu", 10, 25, 50, False, "cpu")])
    times = summarise({"gpu": [alone], "mixed": [behind]}, KEYS)
    assert [entry.latency_us for entry in times.entries] == [20]
    (link,) = times.links
    assert (link.source, link.target, link.fixed_us, link.gb_per_s) == ("cpu", "gpu", 20, None)
    # of 40 us, 15 were a wait, and kernels that take 18 between gaps of 2 took 25
    assert link.loading == pytest.approx(7 / 20, abs=1e-3)


def test_a_line_ignores_outliers() -> None:
    points = [(size, 10 + size / 2e3) for size in range(0, 80_000, 8_000)]
    assert line([*points, (40_000, 9_000.0)]) == (10, 2)
    assert line([(1, 5.0), (2, 7.0)]) == (6, None)
    assert line([(size, 50 - time) for size, time in points])[1] is None  # larger is not faster
