"""Layer tables as a file: one line per different layer of a network and how often it occurs."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from hetpart.cost.layers import Layer

PATH = Path(__file__).with_name("layers.csv")
COLUMNS = ("network", "count", "kind", "c_in", "c_out", "group", "kernel", "stride", "out", "read", "written")

Table = tuple[tuple[Layer, int], ...]
"""The different layers of a network and how often each occurs."""


def tabulate(layers: Iterable[Layer]) -> Table:
    return tuple(sorted(Counter(layers).items()))


def write_tables(tables: Mapping[str, Table], path: Path = PATH) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, table in tables.items():
            for layer, count in table:
                kernel, out = (f"{h}x{w}" for h, w in (layer.kernel, layer.out))
                writer.writerow((
                    name, count, layer.kind, layer.c_in, layer.c_out, layer.group, kernel, layer.stride, out,
                    layer.read, layer.written,
                ))  # fmt: skip


def read_tables(path: Path = PATH) -> dict[str, Table]:
    tables: dict[str, list[tuple[Layer, int]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            layer = Layer(
                row["kind"], int(row["c_in"]), int(row["c_out"]), int(row["group"]), _pair(row["kernel"]),
                int(row["stride"]), _pair(row["out"]), int(row["read"]), int(row["written"]),
            )  # fmt: skip
            tables.setdefault(row["network"], []).append((layer, int(row["count"])))
    return {name: tuple(rows) for name, rows in tables.items()}


def _pair(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)
