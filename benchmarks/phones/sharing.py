"""Fits what sharing a feature map between CPU and GPU takes on a Snapdragon 855: laws of targets/sd855.toml.

    python -m benchmarks.phones.sharing

A law is ``fixed + bytes / speed``, once for each of three percentiles of the time: half of all shares are quicker than
the median's law, one in twenty than that of p5, all but one in twenty than that of p95. Waiting for the GPU does not
depend on the size (by CoDL's figure and its text), so that its laws have no speed.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ortools.linear_solver import pywraplp

DATA = Path(__file__).parent / "data" / "sharing_sd855.csv"
PERCENTILES = {"p5": 0.05, "median": 0.5, "p95": 0.95}
_BYTES = 4  # of a float32 element


class Law(NamedTuple):
    """``fixed_us + bytes / gb_per_s / 1e3`` microseconds; the speed is infinite where the size does not count."""

    fixed_us: float
    gb_per_s: float


def timings(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Bytes and microseconds of every timing of ``transform``, ``map`` or ``pre_sync``."""
    with DATA.open(encoding="utf-8") as file:
        rows = [(float(r["data_size"]), float(r["latency_ms"])) for r in csv.DictReader(file) if r["kind"] == kind]
    elements, ms = np.array(rows).T
    return _BYTES * np.maximum(elements, 0.0), 1e3 * ms


def fit(size_bytes: np.ndarray, us: np.ndarray, share: float) -> Law:
    """Linear quantile regression (Koenker and Bassett, Econometrica 46(1), 1978): a linear program.

    Args:
        size_bytes, us: one timing each.
        share: of the timings that lie below the law, between 0 and 1.
    """
    solver = pywraplp.Solver.CreateSolver("GLOP")
    fixed, slope = solver.NumVar(0, math.inf, "fixed"), solver.NumVar(0, math.inf, "us per MB")
    loss = solver.Objective()
    for size, time in zip(size_bytes / 1e6, us, strict=True):
        above, below = solver.NumVar(0, math.inf, ""), solver.NumVar(0, math.inf, "")
        loss.SetCoefficient(above, share)
        loss.SetCoefficient(below, 1 - share)
        solver.Add(fixed + float(size) * slope + above - below == float(time))
    if solver.Solve() != pywraplp.Solver.OPTIMAL:
        raise RuntimeError("the regression has no solution")
    us_per_mb = slope.solution_value()
    return Law(fixed.solution_value(), 1e3 / us_per_mb if us_per_mb > 1e-9 else math.inf)


def laws(kind: str) -> dict[str, Law]:
    """The laws of a kind, by percentile."""
    size_bytes, us = timings(kind)
    if kind == "pre_sync":
        return {name: Law(float(np.quantile(us, share)), math.inf) for name, share in PERCENTILES.items()}
    return {name: fit(size_bytes, us, share) for name, share in PERCENTILES.items()}


def gpu_to_cpu() -> dict[str, Law]:
    """Waiting, then mapping. The percentiles of the two are added, which spreads a little wider than their sum does."""
    wait, mapping = laws("pre_sync"), laws("map")
    return {name: Law(wait[name].fixed_us + mapping[name].fixed_us, mapping[name].gb_per_s) for name in PERCENTILES}


def main() -> None:
    print("| | | fixed us | GB/s | timings below |\n|---|---|--:|--:|--:|")
    for kind in ("transform", "map", "pre_sync"):
        size_bytes, us = timings(kind)
        for name, law in laws(kind).items():
            below = np.mean(us < law.fixed_us + size_bytes / (1e3 * law.gb_per_s))
            print(f"| {kind} | {name} | {law.fixed_us:.1f} | {law.gb_per_s:.1f} | {below:.1%} |")
    for name, law in gpu_to_cpu().items():
        print(f"| gpu to cpu | {name} | {law.fixed_us:.0f} | {law.gb_per_s:.1f} | |")


if __name__ == "__main__":
    main()
