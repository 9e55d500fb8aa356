"""How long the partitioner takes on every sample network and target, how far it proves its plan, and the baselines.

    python -m benchmarks.partition_zoo [--limit 10] [--target host] [network ...]

Costs are the targets' own estimates. Seconds are CPU time of one solve. The gap is the bound's distance from the plan,
which is not 0 where one processor alone is so nearly as good that the plan is that processor.
"""

from __future__ import annotations

import argparse
import time

from ortools.sat.python import cp_model  # noqa: F401  # so that its import, half a second, is not counted as a solve's

from examples.zoo import build, names
from hetpart.compiler import Options, decide
from hetpart.partition import DEFAULT_LIMIT, Problem, check_placement, solve_all
from hetpart.partition.instance import Instance
from hetpart.partition.segments import split, without_implied_edges
from hetpart.phases import Phases
from hetpart.targets import load_target, target_names

COLUMNS = ("network", "target", "tasks", "cuts", "largest", "CPU s", "status", "gap %", "plan us", "cpu", "gpu", "heft")


def row(network: str, target: str, problem: Problem, limit: float) -> tuple[str, ...]:
    """One solve, in the order of `COLUMNS`."""
    begin = time.process_time()
    outcome = solve_all(problem, limit=limit)
    seconds = time.process_time() - begin
    placement = outcome.placement
    check_placement(problem, placement)
    segments = split(without_implied_edges(Instance.of(problem).dag))
    beside = (outcome.baselines.get(name) for name in COLUMNS[-3:])
    return (
        network,
        target,
        str(len(problem.tasks)),
        str(len(segments) + 1),
        str(max(len(segment.dag) - 2 for segment in segments)),
        f"{seconds:.2f}",
        placement.status,
        f"{100 * placement.gap:.2f}",
        str(placement.makespan_us),
        *("-" if baseline is None else str(baseline.makespan_us) for baseline in beside),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--limit", type=float, default=DEFAULT_LIMIT, help="units of search, each about 0.75 s of one core"
    )
    parser.add_argument("--target", action="append", choices=target_names(), help="default: all")
    parser.add_argument("networks", nargs="*", default=names(), help=", ".join(names()))
    options = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    for network in options.networks:
        model = build(network)
        for target in options.target or target_names():
            problem = decide(model, load_target(target), Options(strategy="heft"), Phases()).problem
            print("| " + " | ".join(row(network, target, problem, options.limit)) + " |", flush=True)


if __name__ == "__main__":
    main()
