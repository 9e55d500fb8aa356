"""Busy time per processor from a Chrome trace."""

from __future__ import annotations

from hetpart.report.trace import busy_us


def test_durations_are_added_by_row() -> None:
    def row(tid: int, name: str) -> dict[str, object]:
        return {"ph": "M", "pid": 1, "tid": tid, "name": "thread_name", "args": {"name": name}}

    def step(tid: int, duration: float) -> dict[str, object]:
        return {"ph": "X", "pid": 1, "tid": tid, "name": "conv", "ts": 0.0, "dur": duration}

    process = {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "hetpart"}}
    events = [process, row(1, "cpu"), row(2, "gpu"), row(3, "dsp"), step(1, 2.0), step(2, 4.0), step(1, 0.5)]
    assert busy_us({"traceEvents": events}) == {"cpu": 2.5, "gpu": 4.0, "dsp": 0.0}
