"""The laws of single convolutions: stored parameters and shares, waves, and fits to data of a known law."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.phones.convolutions import (
    LAWS,
    PATH,
    Convolution,
    agreement,
    fit,
    held_out,
    predict,
    read_convolutions,
    shares,
    within,
)
from benchmarks.phones.waves import MAX_GROUP, UNITS, WAVE, codl_waves, waves, work_group

KERNELS = st.sampled_from([1, 3, 5, 7, 9])
SIZES = st.tuples(st.integers(1, 600), st.integers(1, 200), st.integers(1, 500))


@pytest.fixture(scope="module")
def convolutions() -> list[Convolution]:
    return read_convolutions()


@pytest.mark.parametrize("name", LAWS)
def test_refit_gives_the_stored_parameters_and_shares(name: str, convolutions: list[Convolution]) -> None:
    stored = json.loads(PATH.read_text())[name]
    found = fit(LAWS[name], convolutions)
    assert found.keys() == stored["parameters"].keys()
    fresh, kept = (predict(LAWS[name], convolutions, parameters) for parameters in (found, stored["parameters"]))
    assert fresh == pytest.approx(kept, rel=1e-3)
    if name == "rounds":
        assert shares(LAWS[name], convolutions) == pytest.approx(stored["shares"], abs=2e-3)


def test_a_shape_is_in_one_fold_and_folds_are_alike(convolutions: list[Convolution]) -> None:
    folds: dict[object, set[int]] = {}
    for c in convolutions:
        folds.setdefault((c.size, c.in_blocks, c.kernel), set()).add(c.fold)
    assert all(len(found) == 1 for found in folds.values())
    counts = np.bincount([c.fold for c in convolutions])
    assert len(counts) == 5
    assert counts.min() > 0.15 * len(convolutions)


def test_the_law_of_rounds_is_found_again(convolutions: list[Convolution]) -> None:
    """Also among convolutions of which every tenth took three times as long."""
    known = {"1x1": [15.0, 9.0, 700.0, 35.0], "3x3": [12.0, 60.0, 850.0, 30.0], "general": [16.0, 40.0, 800.0, 25.0]}
    ms = predict(LAWS["rounds"], convolutions, known)
    made = [
        replace(c, latency_ms=t * (3 if i % 10 == 0 else 1))
        for i, (c, t) in enumerate(zip(convolutions, ms, strict=True))
    ]
    found = fit(LAWS["rounds"], made)
    for name, parameters in known.items():
        assert found[name] == pytest.approx(parameters, rel=0.05)


def test_held_out_predictions_do_not_see_their_fold(convolutions: list[Convolution]) -> None:
    spoilt = [replace(c, latency_ms=1e3 * c.latency_ms) if c.fold == 0 else c for c in convolutions]
    at = [i for i, c in enumerate(convolutions) if c.fold == 0]
    fresh, kept = (held_out(LAWS["macs"], group) for group in (spoilt, convolutions))
    assert fresh[at] == pytest.approx(kept[at])
    assert not np.allclose(np.delete(fresh, at), np.delete(kept, at), rtol=1e-3)


@given(SIZES, KERNELS)
def test_waves_hold_all_work_items(size: tuple[int, int, int], kernel: int) -> None:
    group = work_group(size, kernel)
    assert math.prod(group) <= MAX_GROUP
    assert all(part >= 1 for part in group)
    for count in (waves(size, kernel), codl_waves(size, kernel)):
        assert count * UNITS * WAVE >= math.prod(size)


@pytest.mark.parametrize(
    ("size", "kernel", "group", "count"),
    [((64, 8, 32), 3, (4, 8, 20), 130), ((16, 40, 64), 1, (8, 40, 3), 330), ((39, 7, 28), 7, (9, 7, 8), 64)],
)
def test_work_groups_are_those_of_codl(
    size: tuple[int, int, int], kernel: int, group: tuple[int, int, int], count: int
) -> None:
    assert work_group(size, kernel) == group
    assert codl_waves(size, kernel) == count


def test_edges_of_the_work_groups_hold_what_is_left() -> None:
    assert work_group((5, 8, 32), 3) == (4, 8, 20)
    # whole: 4 x 8 x 20 = 10 waves; edges: 1 x 8 x 20 = 3, 4 x 8 x 12 = 6, 1 x 8 x 12 = 2
    assert waves((5, 8, 32), 3) == math.ceil((10 + 3 + 6 + 2) / UNITS)


def test_repetitions_agree_with_their_median() -> None:
    shape = Convolution((1, 1, 1), 1, 1, True, 10.0)
    once = replace(shape, in_blocks=2)
    assert agreement([shape, replace(shape, latency_ms=10.5), replace(shape, latency_ms=12.0), once]) == 2 / 3


def test_within_counts_what_lies_within_10_percent() -> None:
    group = [Convolution((1, 1, 1), 1, 1, True, 10.0)] * 4
    assert within(group, np.array([9.1, 10.9, 11.5, 8.0])) == 0.5
