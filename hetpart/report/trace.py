"""What a Chrome trace of a run says about the processors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def busy_us(trace: Mapping[str, Any]) -> dict[str, float]:
    """Microseconds that each processor spent in kernels, by processor name."""
    rows = {
        event["tid"]: event["args"]["name"]
        for event in trace["traceEvents"]
        if event["ph"] == "M" and event["name"] == "thread_name"
    }
    busy = dict.fromkeys(rows.values(), 0.0)
    for event in trace["traceEvents"]:
        if event["ph"] == "X":
            busy[rows[event["tid"]]] += event["dur"]
    return busy


def overlap_us(trace: Mapping[str, Any]) -> float:
    """Microseconds during which more than one processor was in a kernel."""
    edges = []
    for event in trace["traceEvents"]:
        if event["ph"] == "X":
            edges += [(event["ts"], 1), (event["ts"] + event["dur"], -1)]
    total, running, since = 0.0, 0, 0.0
    for at, change in sorted(edges):
        if running > 1:
            total += at - since
        running, since = running + change, at
    return total
