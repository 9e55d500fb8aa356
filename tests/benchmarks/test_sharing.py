"""The laws of sharing that the target files state are those that the published timings give."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.phones.sharing import PERCENTILES, fit, gpu_to_cpu, laws, timings
from hetpart.targets import load_target


@pytest.mark.parametrize("kind", ["transform", "map", "pre_sync"])
def test_each_law_has_its_share_of_the_timings_below_it(kind: str) -> None:
    size_bytes, us = timings(kind)
    for name, law in laws(kind).items():
        below = np.mean(us < law.fixed_us + size_bytes / (1e3 * law.gb_per_s))
        assert below == pytest.approx(PERCENTILES[name], abs=0.005)


def test_the_laws_do_not_cross_between_a_kilobyte_and_16_megabytes() -> None:
    for kind in ("transform", "map"):
        found = laws(kind)
        for size in (1e3, 16e6):
            times = [found[name].fixed_us + size / (1e3 * found[name].gb_per_s) for name in PERCENTILES]
            assert times == sorted(times)


def test_a_known_law_is_found_among_outliers() -> None:
    size = np.linspace(0, 8e6, 201)
    us = 10 + size / 4e3
    us[::10] += 5000  # not the median's business
    assert fit(size, us, 0.5) == pytest.approx((10, 4), rel=1e-6)
    assert fit(size, np.full_like(size, 7.0), 0.5) == (pytest.approx(7), math.inf)


@pytest.mark.parametrize("target", ["sd855", "kirin990"])  # kirin990's are estimates: those of sd855
def test_the_target_states_the_laws(target: str) -> None:
    link = load_target(target).link("gpu", "cpu")
    found = gpu_to_cpu()
    assert (link.fixed_us, link.gb_per_s) == pytest.approx(found["median"], abs=0.5, rel=0.003)
    assert link.p5 is not None
    assert link.p95 is not None
    assert (link.p5.fixed_us, link.p5.gb_per_s) == pytest.approx(found["p5"], abs=0.5, rel=0.003)
    assert (link.p95.fixed_us, link.p95.gb_per_s) == pytest.approx(found["p95"], abs=0.5, rel=0.003)


def test_sd855_states_the_speed_of_a_conversion() -> None:
    cost = load_target("sd855").processor("gpu").cost
    assert cost is not None
    for name, law in laws("transform").items():
        assert cost.convert_speed(name) == pytest.approx(law.gb_per_s, abs=0.05)  # type: ignore[arg-type]  # a key
        assert law.fixed_us < cost.launch_us  # the fixed part that the target leaves to the launch
