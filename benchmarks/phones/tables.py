"""Which published kernels hetpart's are taken to be as fast as: writes docs/cost-tables.md.

    python -m benchmarks.phones.tables

`hetpart compile` and `hetpart predict` ask the same law. What differs is what they ask it about: below, both about the
same networks.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.phones.derive import DTYPES, TARGETS, candidates, fastest, mean_ms
from benchmarks.phones.rows import networks
from examples.zoo import build
from hetpart.compiler import Options, assess, prepare
from hetpart.cost.layers import layers
from hetpart.cost.phones import Setting
from hetpart.cost.predict import predict_latency
from hetpart.graph.units import UnitGraph
from hetpart.phases import Phases
from hetpart.targets import load_target

PAGE = Path(__file__).parents[2] / "docs" / "cost-tables.md"
COMPARED = ("mobilenetv1", "mobilenetv2", "mobilenetv3_small", "squeezenet", "resnet18", "shufflenetv2")
"""Networks of the zoo that are quick to build."""

TEXT = """# What hetpart's kernels are taken to be as fast as

Written by `make cost-tables`. hetpart's own kernels have run on no phone. For the phones, `hetpart compile` and
`hetpart predict` estimate by one law, which is fitted to the published latencies of other engines
([cost-model.md](cost-model.md)): efficiency is a function of the shape there (tiles of channels and pixels, Winograd's
tiles, short sums, traffic beside arithmetic). A target file names the engine, under `cost.law`: the fastest whose
latencies are published on that processor, and in that type on some phone, by geometric mean over the {networks}
networks of the fit, on four threads. `benchmarks/phones/derive.py` writes it there, with the law's time of a launch.

| target | processor | dtype | engines, and the geometric mean in ms; the first is taken |
|---|---|---|---|
{choices}

kirin985 has no published latencies: its engines are those of kirin990, extrapolated. A GPU computes in fp32.

A file may state a share of the law's speed per kernel class, under `cost.efficiency`, where a profile shows that
hetpart's kernels are slower or faster than the engine's. No law tells of TVM's untuned code (`generic`,
`generic_memory`): for that a file states a share of the processor's roofs, as a target without a law does for all
classes, the host among them.

## Compile beside predict

A unit is one kernel of hetpart's, its epilogue included, on maps with borders and whole blocks of channels; other
engines run additions and costlier activations as kernels of their own. Layout changes are units too. So the sum of the
units (what the GPU does not run counts as on the CPU) over what `predict` says for the same engine (sd855, fp32, four
threads):

| network | units on the CPU | on the GPU |
|---|---:|---:|
{ratios}

ShuffleNetV2 splits channels, for which hetpart has untuned code alone.

## The balance of the processors

What decides a placement is the ratio of the processors: the time on the GPU over that on the CPU, at the median over
the networks of the fit, by the law of the engines that are taken, and of MACE on both, which alone is published in fp32
on both processors of all these chips, with three networks.

| target | engines that are taken | MACE |
|---|---:|---:|
{balances}

No engine is the fastest on both processors, so the balance is one between engines as much as between processors: where
a plan hangs on it, `hetpart profile` measures.
"""


@cache
def units(network: str) -> UnitGraph:
    return prepare(build(network), Options(), Phases())[0]


def ratio(network: str, processor: str) -> float:
    """The units of a network of the zoo on sd855 over what predict says of the engine that the target names."""
    costs = assess(units(network), load_target("sd855"), Phases()).costs.values()
    unit_us = sum(row[processor].latency_us if processor in row else row["cpu"].latency_us for row in costs)
    return unit_us / predict_latency(layers(units(network)), fastest("sd855", processor, "fp32")).latency_us


def times_ms(setting: Setting) -> np.ndarray:
    """Of the networks of the fit."""
    flat = ([layer for layer, count in table for _ in range(count)] for table in networks().values())
    return np.array([predict_latency(each, setting).latency_us / 1e3 for each in flat])


def balance(target: str, engine: str = "") -> float:
    """GPU over CPU at the median; `engine`: on both, else those that are taken."""
    found = []
    for processor in ("gpu", "cpu"):
        taken = fastest(target, processor, "fp32")
        found.append(times_ms(Setting(target, engine or taken.engine, processor, "fp32", taken.threads)))
    return float(np.median(found[0] / found[1]))


def choices() -> list[str]:
    rows = []
    for target in TARGETS:
        for processor, dtypes in DTYPES.items():
            for dtype in dtypes:
                tried = sorted(candidates(target, processor, dtype), key=mean_ms)
                words = ", ".join(f"{each.engine} {mean_ms(each):.1f}" for each in tried)
                rows.append(f"| {target} | {processor} | {dtype} | {words} |")
    return rows


def page() -> str:
    return TEXT.format(
        networks=len(networks()),
        choices="\n".join(choices()),
        ratios="\n".join(f"| {name} | {ratio(name, 'cpu'):.2f} | {ratio(name, 'gpu'):.2f} |" for name in COMPARED),
        balances="\n".join(f"| {each} | {balance(each):.2f} | {balance(each, 'mace'):.2f} |" for each in TARGETS),
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
