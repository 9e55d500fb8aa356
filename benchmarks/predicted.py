"""Predicted beside measured latency of whole networks on this machine: ``python -m benchmarks.predicted``.

Each network is profiled and placed with the profile by every strategy. Then those plans run in turn with the profile's
own, all by hetpart-profile; a profile of these runs predicts them, so that a machine that is slower in some minutes
than in others does not pass for a wrong prediction. It sees none of the plans that it predicts, save those on a single
processor, which are among its own. Compared is the median latency of a call, copies of inputs and outputs included,
without a recorder. Both cores are used: the CPU's part runs on one, the OpenCL device (PoCL) on the other.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import facts
from benchmarks.paste import paste
from benchmarks.predicted_table import Row, document, line, markdown
from examples import zoo
from hetpart.compiler import Options, decide, solve
from hetpart.errors import HetpartError
from hetpart.partition import STRATEGIES, Placement
from hetpart.phases import Phases
from hetpart.profile import Spread
from hetpart.profiler import profile, run_profiler
from hetpart.profiler.bundle import measuring_plans, write_profiler
from hetpart.profiler.evaluate import evaluate
from hetpart.report.compile import measured_units
from hetpart.targets import load_target

FAST = ("squeezenet", "mobilenetv2", "inception_v1")

FIRST_ROUNDS = 3
"""Of the profile that plans are made with."""

MOST_ROUNDS = 1000
"""More than there is time for."""


def main() -> int:
    arguments = _arguments()
    models = arguments.models or (zoo.names() if arguments.all else FAST)
    about = facts(["hetpart"], [0, 1])
    rows: list[Row] = []
    failed: dict[str, str] = {}
    for model in models:
        began = time.monotonic()
        try:
            found = measure(model, arguments.strategies, arguments.limit, arguments.seconds)
        except HetpartError as error:
            failed[model] = str(error)
            print(f"{model}: {error}", file=sys.stderr, flush=True)
            continue
        for row in found:
            print(line(row), file=sys.stderr, flush=True)
        print(f"{model}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        rows += found
        if arguments.json:  # what there is so far, too
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(json.dumps(document(about, rows, failed), indent=1) + "\n")
    if not rows:
        return 1
    text = markdown(about, rows, failed)
    print(text)
    if arguments.paste:
        paste(arguments.paste, "predicted", text)
    return 1 if failed else 0


def measure(name: str, strategies: Sequence[str], limit: float, seconds: int) -> list[Row]:
    """Rows of one network of the zoo, by strategy; `limit` is the solver's, `seconds` the limit on measuring."""
    model, target = zoo.build(name), load_target("host")
    options = Options(strategy="heft", limit=limit)
    first = profile(model, "host", options, runs=FIRST_ROUNDS, time_limit_s=seconds).profile
    estimated = decide(model, target, options, Phases())
    decision = decide(model, target, options, Phases(), first)
    plans = measuring_plans(decision)
    plan_of: dict[str, str] = {}
    estimates: dict[str, float] = {}
    for strategy in strategies:
        try:
            placement = solve(decision.problem, decision.target, strategy, limit)[0].placement
            estimates[strategy] = solve(estimated.problem, target, strategy, limit)[1].plan.median_us
        except HetpartError as error:
            print(f"{name}, {strategy}: {error}", file=sys.stderr, flush=True)
            continue
        same = (other for other, plan in plans.items() if _same(plan, placement))
        plan_of[strategy] = next(same, strategy)
        plans.setdefault(plan_of[strategy], placement)
    with tempfile.TemporaryDirectory(prefix="hetpart-bench-") as folder:
        bundle = Path(folder) / "bundle"
        write_profiler(decision, plans, options, bundle, Phases())
        traces = run_profiler(bundle, MOST_ROUNDS, seconds)
    found = evaluate(model, estimated, traces, "measured on this machine")
    predicted = {check.plan: check.predicted_us for check in found.checks}
    rows = []
    for strategy, plan in plan_of.items():
        modes = plans[plan].modes
        used = "+".join(sorted({modes[unit].processor for unit in decision.costs}))
        counts = measured_units(decision)
        measured = Spread.of(traces.plans[plan].call_us)
        rows.append(
            Row(name, strategy, predicted[plan], estimates[strategy], measured, used, counts.units, counts.here)
        )
    return rows


def _same(one: Placement, other: Placement) -> bool:
    return one.modes == other.modes and one.start_us == other.start_us


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.predicted", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"zoo names; default: {' '.join(FAST)}")
    parser.add_argument("--all", action="store_true", help="all networks of the zoo")
    parser.add_argument("--strategies", nargs="+", choices=list(STRATEGIES), default=list(STRATEGIES))
    parser.add_argument("--limit", type=float, default=3.0, help="the solver's limit, as for compile (default: 3)")
    parser.add_argument(
        "--seconds", type=int, default=30, help="begin no further round of a model after so long (default: 30)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything to this file")
    parser.add_argument("--paste", type=Path, metavar="PAGE", help="put the table into this page, between its marks")
    arguments = parser.parse_args()
    if unknown := [model for model in arguments.models if model not in zoo.names()]:
        parser.error(f"no such model: {', '.join(unknown)}; there are {', '.join(zoo.names())}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
