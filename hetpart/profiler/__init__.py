"""Measures a model's units in the network that they belong to: here, or with a program that runs on a phone."""

from hetpart.profiler.check import PlanCheck
from hetpart.profiler.device import emit_profiler, profile_of_traces
from hetpart.profiler.evaluate import Measurement
from hetpart.profiler.here import RUNS, TIME_LIMIT_S, profile, run_profiler

__all__ = [
    "RUNS",
    "TIME_LIMIT_S",
    "Measurement",
    "PlanCheck",
    "emit_profiler",
    "profile",
    "profile_of_traces",
    "run_profiler",
]
