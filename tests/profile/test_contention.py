"""From runs of two plans at once to factors: what is slowed down, and by how much, is found again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetpart.profile.contention import contention
from hetpart.profile.samples import Sample
from hetpart.profile.summary import Run


def run(processor: str, lengths: list[float], start_us: float = 0.0, slowed: tuple[float, float] | None = None) -> Run:
    """Units one after the other; with `slowed` = (factor, until), times up to then are longer by the factor."""
    found, time = [], 0.0
    for number, length in enumerate(lengths):
        begin = time
        if slowed is None:
            time += length
        else:
            factor, until_us = slowed
            beside = max(0.0, min(length * factor, until_us - time))
            time += beside + (length - beside / factor)
        found.append(Sample(f"{processor}{number}", processor, ("k",), begin, begin, time, not number, "", 0))
    return Run(time, found, start_us)


factors = st.floats(1.0, 3.0)
lengths = st.lists(st.floats(10.0, 1000.0), min_size=1, max_size=8)


@given(lengths, factors, st.floats(0.0, 1e12))
@settings(deadline=None)
def test_the_factor_of_a_run_that_another_accompanies_for_a_while(
    lengths: list[float], factor: float, start_us: float
) -> None:
    alone = run("cpu", lengths, start_us)
    other = run("gpu", [0.6 * sum(lengths)], start_us + 7.0)
    shared = run("cpu", lengths, start_us + 7.0, (factor, other.length_us))
    found = {
        one.processor: one for one in contention({"main": [alone], "gpu": [other]}, [{"main": shared, "gpu": other}])
    }
    assert found["cpu"].factor == pytest.approx(factor, rel=1e-2)
    assert (found["cpu"].n, found["gpu"].factor) == (1, 1.0)


def test_a_unit_that_shares_its_processor_is_left_out() -> None:
    alone = run("cpu", [100.0, 100.0])
    gpu = run("gpu", [300.0])
    other = Run(300.0, [*gpu.samples, Sample("x", "cpu", ("k",), 150.0, 150.0, 160.0, True, "", 0)])
    shared = run("cpu", [100.0, 500.0])  # the second is disturbed by x
    found = {
        one.processor: one for one in contention({"main": [alone], "gpu": [other]}, [{"main": shared, "gpu": other}])
    }
    assert found["cpu"].factor == 1.0


def test_runs_that_hardly_meet_say_nothing() -> None:
    alone, other = run("cpu", [1000.0]), run("gpu", [100.0])
    found = contention({"main": [alone], "gpu": [other]}, [{"main": alone, "gpu": other}])
    assert [one.processor for one in found] == ["gpu"]
    assert contention({"main": [alone]}, []) == ()


def test_every_round_is_compared_with_its_own_and_outliers_do_not_count() -> None:
    speeds = [1.0, 1.5, 1.0, 2.0]  # of the machine, by round
    alone = [run("cpu", [100.0 * speed]) for speed in speeds]
    other = [run("gpu", [1000.0 * speed]) for speed in speeds]
    factors = [1.2, 1.2, 1.2, 5.0]
    pairs = [
        {"main": run("cpu", [100.0 * speed * factor]), "gpu": beside}
        for speed, factor, beside in zip(speeds, factors, other, strict=True)
    ]
    cpu = next(one for one in contention({"main": alone, "gpu": other}, pairs) if one.processor == "cpu")
    assert (cpu.factor, cpu.n) == (1.2, 4)
    assert cpu.p10 == 1.2
    assert cpu.p90 > 1.2
