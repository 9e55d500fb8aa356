"""The tables of what compression gains: changes, marks and what is not known."""

from __future__ import annotations

from pathlib import Path

from benchmarks.compression import Row, Step, markdown
from hetpart.profile import Spread


def row(before_us: float, after_us: float, accuracy: tuple[float, ...] = ()) -> Row:
    measured = Spread(before_us, before_us, before_us, 9), Spread(after_us, after_us, after_us, 9)
    return Row("net", "low-rank", (2_000_000, 1_000_000), (9, 5), (7, 6), (100.0, 60.0), measured, accuracy, 1.0)


def test_a_measured_change_far_from_the_estimated_one_is_marked() -> None:
    near, far = row(50.0, 26.0, (99.0, 34.5, 98.0)), row(50.0, 49.0)
    assert near.estimated_change == far.estimated_change == -40.0
    assert near.within
    assert not far.within
    about: dict[str, object] = {"date": "today", "processor": "a core", "commit": "abc"}
    lines = markdown(about, [Step("pruned", -31.2, -44.25, 10_760.0)], [near, far]).splitlines()
    assert lines[2] == "| pruned | -31.2 % | -44.2 % | 10.76 |"
    assert "1 of 2" in lines[4]
    assert "| -40.0 % | -48.0 % |" in lines[-2]
    assert lines[-2].endswith("| 99.0 -> 34.5 -> 98.0 % |")
    assert "| -40.0 % | -2.0 % (!) |" in lines[-1]
    assert lines[-1].endswith("| not evaluated |")
    assert "2 -> 1 M" in lines[-1]


def test_the_page_has_the_marks() -> None:
    page = Path(__file__).parents[2].joinpath("docs/compression.md").read_text()
    assert page.count("<!-- compression -->") == page.count("<!-- end of compression -->") == 1
