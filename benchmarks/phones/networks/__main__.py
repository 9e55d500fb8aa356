"""Writes layers.csv: ``python -m benchmarks.phones.networks``; with names, only prints those networks."""

from __future__ import annotations

import sys

from benchmarks.phones.layers import tabulate, write_tables
from benchmarks.phones.networks import NETWORKS
from benchmarks.phones.networks.codl import CODL
from hetpart.compiler import Options, prepare
from hetpart.cost.layers import layers
from hetpart.phases import Phases


def main() -> None:
    tables = {}
    for name in sys.argv[1:] or NETWORKS:
        graph, _ = prepare(NETWORKS[name](), Options(), Phases())
        tables[name] = tabulate(layers(graph))
        macs = sum(layer.macs * count for layer, count in tables[name])
        print(f"{name:28} {macs / 1e6:8.0f} M multiply-adds {sum(n for _, n in tables[name]):4d} layers", flush=True)
    if not sys.argv[1:]:
        write_tables(tables | {name: tabulate(table) for name, table in CODL.items()})


if __name__ == "__main__":
    main()
