"""Prints how long the partitioner takes, how far it proves its answer, and what the baselines give.

    python -m benchmarks.partition [--limit 5] [--sync 100] [--processors 2] [network ...]

The costs are invented (see unit_networks.py): the table judges the solver, not a phone.
"""

from __future__ import annotations

import argparse
import time

from benchmarks.unit_networks import NETWORKS, Net
from hetpart.partition import DEFAULT_LIMIT, check_placement, solve_all
from hetpart.partition.instance import Instance
from hetpart.partition.segments import split, without_implied_edges


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--limit", type=float, default=DEFAULT_LIMIT, help="units of search, each about 0.75 s of one core"
    )
    parser.add_argument("--sync", type=int, default=100, help="fixed microseconds of a transfer")
    parser.add_argument("--processors", type=int, choices=(2, 3), default=2)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help=", ".join(NETWORKS))
    options = parser.parse_args()
    processors = ("cpu", "gpu", "dsp")[: options.processors]
    print(
        f"{'network':16} {'tasks':>5} {'cuts':>5} {'largest':>7} {'CPU s':>6} {'gap %':>6}"
        f" {'ilp us':>9} {'bound':>9} {'cpu':>9} {'gpu':>9} {'heft':>9}"
    )
    for name in options.networks:
        problem = NETWORKS[name](Net(processors, options.sync))
        segments = split(without_implied_edges(Instance.of(problem).dag))
        begin = time.process_time()
        outcome = solve_all(problem, limit=options.limit)
        seconds = time.process_time() - begin
        placement = outcome.placement
        check_placement(problem, placement)
        beside = [outcome.baselines[strategy].makespan_us for strategy in ("cpu", "gpu", "heft")]
        print(
            f"{name:16} {len(problem.tasks):5} {len(segments) + 1:5} {max(len(s.dag) - 2 for s in segments):7}"
            f" {seconds:6.2f} {100 * placement.gap:6.2f} {placement.makespan_us:9} {placement.lower_bound_us:9}"
            f" {beside[0]:9} {beside[1]:9} {beside[2]:9}",
            flush=True,
        )


if __name__ == "__main__":
    main()
