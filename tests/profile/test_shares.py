"""Shares of the roof: fitted shares make estimates sum up to what was measured, whatever the unit mix."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetpart.cost.estimate import Cost
from hetpart.profile import Entry, Profile, Spread
from hetpart.profile.shares import shares, summed
from hetpart.targets import load_target

SPREAD = Spread(1, 1, 1, 1)
HOST = load_target("host")


def cost(busy_us: float, bound: str = "compute", kernel_class: str = "conv", launch_us: float = 1.0) -> Cost:
    return Cost(launch_us + busy_us, launch_us, "estimated", bound, kernel_class)


def measured(times: dict[str, float], costs: dict[str, Cost], processor: str = "cpu") -> tuple[Any, ...]:
    """Arguments of `shares` for units with kernels of their own."""
    keys = {(unit, processor): ("shared", unit) for unit in costs}
    entries = tuple(Entry(processor, "shared", unit, (unit,), time, SPREAD) for unit, time in times.items())
    profile = Profile("m", "host", "", "", "", "", {}, {}, entries)
    return profile, keys, HOST, {unit: {processor: one} for unit, one in costs.items()}


@given(st.lists(st.tuples(st.floats(1, 1e4), st.floats(0.2, 5)), min_size=1, max_size=6))
def test_with_the_fitted_share_the_estimates_are_what_was_measured(units: list[tuple[float, float]]) -> None:
    costs = {f"u{i}": cost(busy) for i, (busy, _) in enumerate(units)}
    times = {f"u{i}": 1 + busy * factor for i, (busy, factor) in enumerate(units)}
    (row,) = shares(*measured(times, costs))
    assert row.fitted is not None
    table = HOST.processor("cpu").cost
    assert table is not None
    assert row.share == table.efficiency["conv"]
    again = sum(1 + busy * row.share / row.fitted for busy, _ in units)
    assert again == pytest.approx(sum(times.values()))


def test_units_that_the_share_does_not_decide_are_left_out() -> None:
    costs = {"a": cost(100), "b": cost(100, "memory"), "c": cost(0.1, "launch"), "d": cost(50)}
    (row,) = shares(*measured({"a": 201, "b": 5001, "c": 500}, costs))
    assert (row.units, row.deciding, row.busy_estimated_us, row.busy_measured_us) == (3, 1, 100, 200)
    assert row.fitted == pytest.approx(row.share / 2)
    assert row.ratio == pytest.approx((101 + 101 + 1.1) / (201 + 5001 + 500))


def test_a_class_that_nothing_decides_has_no_fitted_share() -> None:
    (row,) = shares(*measured({"a": 9}, {"a": cost(0.5, "launch")}))
    assert row.fitted is None


def test_tvm_s_own_schedules_have_a_share_of_the_bandwidth_too() -> None:
    costs = {"a": cost(10, "memory", "generic"), "b": cost(10, "compute", "generic")}
    rows = shares(*measured({"a": 21, "b": 11}, costs))
    assert {row.kernel_class: row.deciding for row in rows} == {"generic": 1, "generic_memory": 1}


def test_on_shared_buffers_the_other_table_counts_where_it_has_the_class() -> None:
    phone = load_target("sd855")
    table = phone.processor("gpu").cost
    assert table is not None
    name = next(iter(table.shared))
    profile, keys, _, estimates = measured({"a": 11}, {"a": cost(10, "compute", name)}, "gpu")
    (row,) = shares(profile, keys, phone, estimates)
    assert (row.table, row.share) == ("shared", table.shared[name])
    private = replace(profile, entries=(Entry("gpu", "private", "a", ("a",), 11, SPREAD),))
    (row,) = shares(private, {("a", "gpu"): ("private", "a")}, phone, estimates)
    assert (row.table, row.share) == ("efficiency", 1.0)


def test_a_share_of_a_law_s_speed_decides_whatever_bounds_a_unit_but_launching() -> None:
    profile, keys, _, _ = measured({"a": 11, "b": 21, "c": 9}, {"a": cost(10), "b": cost(10), "c": cost(0.5)})
    estimates = {"a": {"cpu": cost(10)}, "b": {"cpu": cost(10, "memory")}, "c": {"cpu": cost(0.5, "launch")}}
    (row,) = shares(profile, keys, load_target("sd855"), estimates)
    assert (row.units, row.deciding, row.share) == (3, 2, 1.0)
    assert row.fitted == pytest.approx(20 / 30)


def test_rows_of_several_networks_add_up() -> None:
    rows = shares(*measured({"a": 201}, {"a": cost(100)}))
    (both,) = summed((*rows, *rows))
    assert (both.units, both.busy_measured_us, both.fitted) == (2, 400, rows[0].fitted)
