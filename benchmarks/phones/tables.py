"""The cost tables of the targets beside the law: writes docs/cost-tables.md (``python -m benchmarks.phones.tables``).

`hetpart compile` estimates by the tables, `hetpart predict` by the law. Both are asked about the same networks here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.phones.layers import Table, read_tables
from benchmarks.phones.rows import read_rows
from hetpart.cost import Work
from hetpart.cost.estimate import roofline
from hetpart.cost.layers import Layer
from hetpart.cost.phones import Setting
from hetpart.cost.predict import predict_latency
from hetpart.targets import load_target
from hetpart.targets.schema import Processor

PAGE = Path(__file__).parents[2] / "docs" / "cost-tables.md"
TARGETS = ("sd855", "sd865", "sd888", "kirin990", "kirin985")
_BYTES = 4  # of a float32 element

TEXT = """# The cost tables beside the published latencies

Written by `make cost-tables`. `hetpart compile` estimates units by the cost tables of the targets; `hetpart predict`
knows whole networks, by a law that is fitted to the published latencies of other engines
([cost-model.md](cost-model.md)). The tables of the phones are derived from that law (`benchmarks/phones/derive.py`):
per kernel class the efficiency with which the table takes as long as the law, over the {networks} networks whose
latencies are published, with the kernels of the fastest engine that is published on that processor in any dtype. The
lines marked "fit" in the target files name it. The table of `host` is measured instead.

What is lost on the way is below: both are asked about the same networks, in fp32 and on all threads. A ratio above 1
says that the table is slower. "fastest" is the fastest engine that is published there in fp32, network by network, as
`hetpart predict` takes it; MACE alone is published in fp32 on the CPU and the GPU of these chips, of three networks.
`x` marks what is extrapolated. All is estimated.

| target | processor | engine | table / law, median | p10 | p90 | rank correlation |
|---|---|---|---:|---:|---:|---:|
{ratios}

What decides a placement is the ratio of the processors: the time on the GPU over that on the CPU.

| target | by the table, median | by the law of the fastest engines | by the law of MACE |
|---|---:|---:|---:|
{balances}

How to read it: the table takes the larger of arithmetic and traffic where the law adds them, and one efficiency per
class where the law counts tiles of channels and pixels: hence the spread. On sd865's GPU the table has Paddle-Lite's
kernels, published there in fp16 only, so "fastest" in fp32 is MACE. No engine is the fastest on both processors, so
the balance is one between engines as much as between processors, and hetpart's own kernels have run on no phone: where
a plan hangs on it, `hetpart profile` measures.
"""


class Compared(NamedTuple):
    """Milliseconds of the networks by table and by law, and whether any of the law's is extrapolated."""

    table_ms: np.ndarray
    law_ms: np.ndarray
    extrapolated: bool

    @property
    def ratio(self) -> np.ndarray:
        found: np.ndarray = self.table_ms / self.law_ms
        return found

    @property
    def rank_correlation(self) -> float:
        ranks = [np.argsort(np.argsort(values)) for values in (self.table_ms, self.law_ms)]
        return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def networks() -> dict[str, Table]:
    """The layer tables of the networks whose latencies are published."""
    tables = read_tables()
    return {name: tables[name] for name in sorted({row.network for row in read_rows()} & tables.keys())}


def table_ms(table: Table, processor: Processor) -> float:
    """The sum that `hetpart compile` would make, but for changes of layout."""
    return sum(count * roofline(work_of(layer), processor).latency_us for layer, count in table) / 1e3


def compare(target: str, processor: str, engine: str, tables: Mapping[str, Table]) -> Compared:
    costed = load_target(target).processor(processor)
    setting = Setting(target, engine, processor, "fp32", costed.threads if processor == "cpu" else 0)
    found = [
        predict_latency([layer for layer, count in table for _ in range(count)], setting) for table in tables.values()
    ]
    return Compared(
        np.array([table_ms(table, costed) for table in tables.values()]),
        np.array([each.latency_us / 1e3 for each in found]),
        any(each.extrapolated for each in found),
    )


def work_of(layer: Layer) -> Work:
    name = kernel_class(layer)
    passes = 2 if name == "norm" else 1
    return Work(layer.macs, _BYTES * (layer.read * passes + layer.weights), _BYTES * layer.written, name)


def kernel_class(layer: Layer) -> str:
    if layer.kind != "conv":
        return {"deconv": "conv_transpose", "dense": "dense", "matmul": "matmul", "norm": "norm"}.get(
            layer.kind, "memory"
        )
    if layer.group > 1:
        return "depthwise" if layer.depthwise else "conv_grouped"
    if layer.kernel == (1, 1):
        return "conv1x1"
    return "conv3x3" if layer.kernel == (3, 3) and layer.stride == 1 else "conv"


def page() -> str:
    tables = networks()
    found = {
        (target, processor, engine): compare(target, processor, engine, tables)
        for target in TARGETS
        for processor in ("cpu", "gpu")
        for engine in ("hetpart", "mace")
    }
    ratios = [
        f"| {target} | {processor} | {'fastest' if engine == 'hetpart' else engine}{' x' if c.extrapolated else ''} "
        f"| {np.median(c.ratio):.2f} | {np.quantile(c.ratio, 0.1):.2f} | {np.quantile(c.ratio, 0.9):.2f} "
        f"| {c.rank_correlation:.3f} |"
        for (target, processor, engine), c in found.items()
    ]
    balances = []
    for target in TARGETS:
        cpu, gpu = found[target, "cpu", "hetpart"], found[target, "gpu", "hetpart"]
        mace = found[target, "gpu", "mace"].law_ms / found[target, "cpu", "mace"].law_ms
        balances.append(
            f"| {target} | {np.median(gpu.table_ms / cpu.table_ms):.2f} | {np.median(gpu.law_ms / cpu.law_ms):.2f} "
            f"| {np.median(mace):.2f} |"
        )
    return TEXT.format(networks=len(tables), ratios="\n".join(ratios), balances="\n".join(balances))


if __name__ == "__main__":
    PAGE.write_text(page())
