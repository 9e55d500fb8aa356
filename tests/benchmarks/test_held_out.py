"""What was predicted for published latencies that the fit had not seen: stored errors, the stored file, the picture."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from benchmarks.phones.fit import HELD_OUT, all_errors, designs, leave_out
from benchmarks.phones.layers import read_tables
from benchmarks.phones.picture import PICTURE, picture
from benchmarks.phones.rows import UNSEEN, Row, networks, read_rows
from hetpart.cost import fitted


@pytest.fixture(scope="module")
def stored() -> list[dict[str, str]]:
    with HELD_OUT.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    tables = read_tables()
    return [row for row in read_rows() if row.network in tables]


def ratios(stored: list[dict[str, str]], column: str) -> np.ndarray:
    return np.array([float(row[column]) / float(row["measured_ms"]) for row in stored])


def test_the_file_has_every_row_of_the_fit(stored: list[dict[str, str]], rows: list[Row]) -> None:
    keys = [(row["network"], row["setting"], row["version"], float(row["measured_ms"])) for row in stored]
    assert keys == [(row.network, row.setting.key, row.version, row.latency_ms) for row in rows]


def test_networks_of_the_check_are_in_no_fit(rows: list[Row]) -> None:
    checked = {row.network for row in read_rows(unseen=True)}
    assert checked == UNSEEN
    assert checked <= read_tables().keys()
    assert not checked & ({row.network for row in rows} | networks().keys())


def test_stored_errors_are_those_of_the_file(stored: list[dict[str, str]], rows: list[Row]) -> None:
    found = all_errors(rows, ratios(stored, "without_family_ms"), ratios(stored, "without_engine_ms"))
    kept = fitted.stored()["errors"]
    assert found.keys() == kept.keys()
    for name, error in found.items():
        assert error == pytest.approx(kept[name], abs=2e-3), name


def test_leaving_out_again_gives_the_file(stored: list[dict[str, str]], rows: list[Row]) -> None:
    at = [i for i, row in enumerate(rows) if row.setting.processor == "gpu"]
    gpu = [rows[i] for i in at]
    found = leave_out(gpu, designs(gpu, read_tables()), lambda row: row.family, fitted.stored()["effects"])
    assert found == pytest.approx(ratios(stored, "without_family_ms")[at], rel=0.03)


def test_the_picture_is_that_of_the_file(stored: list[dict[str, str]]) -> None:
    text = picture()
    assert PICTURE.read_text() == text
    paths = [path.get("d", "") for path in ET.fromstring(text).iter("{http://www.w3.org/2000/svg}path")]
    assert sum(path.count("h0") for path in paths) == len(stored)
