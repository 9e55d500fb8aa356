"""The table of predicted beside measured latencies: what is within the goal, and what failed."""

from __future__ import annotations

from benchmarks.predicted_table import Row, document, markdown
from hetpart.profile import Spread

ABOUT = {"date": "2026-11-27", "processor": "an abacus", "commit": "abc"}


def row(predicted_us: float, measured_us: float) -> Row:
    return Row(
        "net", "ilp", predicted_us, 5000.0, Spread(measured_us, measured_us - 100, measured_us + 200, 9), "cpu", 3, 2
    )


def test_rows_beyond_the_goal_are_marked_and_counted() -> None:
    rows = [row(1090.0, 1000.0), row(890.0, 1000.0), row(1020.0, 1000.0)]
    text = markdown(ABOUT, rows, {"other": "no memory [memory]"})
    assert "Within 10%: 2 of 3; median error 9.0%." in text
    assert "other failed: no memory [memory]" in text
    assert "| net | ilp | cpu | 2 of 3 | 5.00 | 1.09 | 1.00 (0.90, 1.20) | 1.090 |" in text
    assert "| 0.890 (!) |" in text


def test_document() -> None:
    values = document(ABOUT, [row(750.0, 1000.0)], {"other": "why"})
    assert (values["within"], values["median_error"], values["failed"]) == (0, 0.25, {"other": "why"})
    assert document(ABOUT, [], {})["median_error"] is None
