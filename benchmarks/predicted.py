"""Predicted beside measured latency of whole networks on this machine: ``python -m benchmarks.predicted``.

Each network is profiled, placed with the profile by every strategy, and run, all by hetpart-profile. Strategies take
turns; what is compared is the median latency of a call, copies of inputs and outputs included, without a recorder. Both
cores are used: the CPU's part runs on one, the OpenCL device (PoCL) on the other.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.machine import facts
from benchmarks.models import ALL
from benchmarks.paste import paste
from examples import zoo
from hetpart.compiler import Decision, Options, decide
from hetpart.errors import HetpartError
from hetpart.partition import STRATEGIES, solve_all
from hetpart.phases import Phases
from hetpart.profile import Spread
from hetpart.profiler import profile, run_profiler
from hetpart.profiler.bundle import write_profiler
from hetpart.report.compile import measured_units
from hetpart.targets import load_target

FAST = ("squeezenet", "mobilenetv2", "inception_v1")

GOAL = 0.10
"""Relative error that is allowed."""

SHARE = 0.6
"""Of a model's time budget, what profiling may take of its measuring."""

MOST_ROUNDS = 1000
"""More than there is time for."""


@dataclass(frozen=True)
class Row:
    """One network under one strategy; times in microseconds.

    Attributes:
        predicted_us: with the profile; `estimated_us` the makespan without it, of the plan that estimates lead to.
        measured: of a call.
        processors: which the plan uses.
        units, measured_units: that move data, and those of them that the profile has where they were placed.
    """

    model: str
    strategy: str
    predicted_us: float
    estimated_us: float
    measured: Spread
    processors: str
    units: int
    measured_units: int

    @property
    def ratio(self) -> float:
        return self.predicted_us / self.measured.median_us

    @property
    def within(self) -> bool:
        return abs(self.ratio - 1) <= GOAL


def main() -> int:
    arguments = _arguments()
    models = arguments.models or (ALL if arguments.all else FAST)
    about = facts(["hetpart"], [0, 1])
    rows: list[Row] = []
    for done, model in enumerate(models):
        left_s = arguments.budget - (time.monotonic() - _BEGAN)
        seconds = max(6.0, min(arguments.seconds, 0.5 * left_s / (len(models) - done)))
        found = measure(model, arguments.strategies, arguments.limit, seconds)
        for row in found:
            print(_line(row), file=sys.stderr, flush=True)
        rows += found
        if arguments.json:  # what there is so far, too
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(json.dumps(document(about, rows), indent=1) + "\n")
    text = markdown(about, rows)
    print(text)
    if arguments.paste:
        paste(arguments.paste, "predicted", text)
    return 0


_BEGAN = time.monotonic()


def measure(name: str, strategies: Sequence[str], limit: float, seconds: float) -> list[Row]:
    """Rows of one network.

    Args:
        name: of the zoo.
        strategies: those that cannot place it are left out.
        limit: the solver's.
        seconds: for profiling and for running, together.
    """
    model, target = zoo.build(name), load_target("host")
    options = Options(strategy="heft", limit=limit)
    times = profile(model, "host", options, time_limit_s=int(SHARE * seconds)).profile
    estimated = decide(model, target, options, Phases())
    measured = decide(model, target, options, Phases(), times)
    decisions: dict[str, Decision] = {}
    estimates: dict[str, float] = {}
    for strategy in strategies:
        with contextlib.suppress(HetpartError):  # a strategy that cannot place the model
            outcome = solve_all(measured.problem, strategy, limit)
            estimates[strategy] = solve_all(estimated.problem, strategy, limit).placement.makespan_us
            decisions[strategy] = replace(measured, outcome=outcome)
    latencies = _run(decisions, (1 - SHARE) * seconds)
    rows = []
    for strategy, decision in decisions.items():
        modes = decision.placement.modes
        used = "+".join(sorted({modes[unit].processor for unit in decision.costs}))
        counts = measured_units(decision)
        predicted = decision.placement.makespan_us
        spread = Spread.of(latencies[strategy])
        rows.append(
            Row(name, strategy, predicted, estimates[strategy], spread, used, counts.units, counts.here)
        )  # fmt: skip
    return rows


def _run(decisions: dict[str, Decision], seconds: float) -> dict[str, list[float]]:
    """Microseconds of calls by strategy, in turn, by the program that measures profiles."""
    if not decisions:
        return {}
    names = dict(zip(decisions, ("main", *list(decisions)[1:]), strict=True))  # a bundle needs a main plan
    plans = {names[strategy]: decision.placement for strategy, decision in decisions.items()}
    first = next(iter(decisions.values()))
    with tempfile.TemporaryDirectory(prefix="hetpart-bench-") as folder:
        bundle = Path(folder) / "bundle"
        write_profiler(first, plans, Options(), bundle, Phases())
        traces = run_profiler(bundle, MOST_ROUNDS, int(seconds))
    return {strategy: traces.plans[name].call_us for strategy, name in names.items()}


def document(about: dict[str, object], rows: Sequence[Row]) -> dict[str, object]:
    """Everything, for JSON."""
    return {
        "schema": 1,
        "machine": about,
        "goal": GOAL,
        "rows": [asdict(row) | {"ratio": row.ratio, "within": row.within} for row in rows],
        "within": sum(row.within for row in rows),
        "median_error": statistics.median(abs(row.ratio - 1) for row in rows) if rows else None,
    }


def markdown(about: dict[str, object], rows: Sequence[Row]) -> str:
    """The table with a caption that says what was measured, and how many are within the goal."""
    lines = [
        f"{about['date']}, {about['processor']}, one core through LLVM and one through PoCL, wall time of a call; "
        f"hetpart at {about['commit']}. Within {GOAL:.0%}: {sum(row.within for row in rows)} of {len(rows)}; "
        f"median error {statistics.median(abs(row.ratio - 1) for row in rows):.1%}.",
        "",
        "| network | strategy | runs on | measured units | estimated ms | predicted ms | measured ms (p10, p90) | "
        "predicted / measured |",
        "|---|---|---|--:|--:|--:|--:|--:|",
        *(_line(row) for row in rows),
    ]
    return "\n".join(lines)


def _line(row: Row) -> str:
    spread = row.measured
    measured = f"{spread.median_us / 1e3:.2f} ({spread.p10_us / 1e3:.2f}, {spread.p90_us / 1e3:.2f})"
    return (
        f"| {row.model} | {row.strategy} | {row.processors} | {row.measured_units} of {row.units} | "
        f"{row.estimated_us / 1e3:.2f} | {row.predicted_us / 1e3:.2f} | {measured} | "
        f"{row.ratio:.3f}{'' if row.within else ' (!)'} |"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.predicted", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"zoo names; default: {' '.join(FAST)}")
    parser.add_argument("--all", action="store_true", help=f"{len(ALL)} models: {' '.join(ALL)}")
    parser.add_argument("--strategies", nargs="+", choices=list(STRATEGIES), default=list(STRATEGIES))
    parser.add_argument("--limit", type=float, default=3.0, help="the solver's limit, as for compile (default: 3)")
    parser.add_argument("--seconds", type=float, default=20.0, help="measuring per model, at most (default: 20)")
    parser.add_argument("--budget", type=float, default=720.0, help="seconds for all models together (default: 720)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything to this file")
    parser.add_argument("--paste", type=Path, metavar="PAGE", help="put the table into this page, between its marks")
    arguments = parser.parse_args()
    if unknown := [model for model in arguments.models if model not in zoo.names()]:
        parser.error(f"no such model: {', '.join(unknown)}; there are {', '.join(zoo.names())}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
