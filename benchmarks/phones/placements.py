"""Placements that were measured on a phone of the Snapdragon 865's class, and what hetpart's model says about them.

data/placements_sd865.csv counts the layers of a model that ran on NPU, GPU and CPU; it does not say which. So a mixed
placement is emulated as one of that many layers in random order: a processor with k of n layers takes k/n of what it
would take for the whole model, and where one processor follows another, the target's links pass a feature map on. The
whole model's times are those of `hetpart.cost.predict` for TensorFlow Lite, in int8 on the CPU and fp16 on the GPU.
hetpart has no law for the NPU: its time for the whole model is the measured one where the table has it, else that of a
law that is fitted here to the models that ran on it alone.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from ortools.linear_solver import pywraplp

from benchmarks.phones.layers import Table, read_tables
from hetpart.cost import transfer_us
from hetpart.cost.phones import Setting
from hetpart.cost.predict import predict_latency
from hetpart.targets import load_target

PATH = Path(__file__).parent / "data" / "placements_sd865.csv"
PROCESSORS = ("npu", "gpu", "cpu")

NETWORK = {
    "mobilenet_v2": "mobilenet_v2", "shufflenet_v2": "shufflenet_v2-0.5", "resnext50": "resnext50",
    "regnet": "regnet_x_3_2gf", "quicksrnetsmall": "quicksrnet_small", "quicksrnetmedium": "quicksrnet_medium",
    "quicksrnetlarge": "quicksrnet_large", "sesr_m5": "sesr_m5", "xlsr": "xlsr",
    "posenet_mobilenet": "posenet_mobilenet", "yolov7": "yolov7_tiny", "yolov8_det": "yolov8n", "yolox": "yolox_s",
    "segformer_base": "segformer_b0",
}  # fmt: skip
"""The models with a mixed placement that are built in `benchmarks.phones.networks`, by their name in the table."""

NPU = {
    "resnet50": "resnet50", "resnet101": "resnet101", "inception_v3": "inception_v3",
    "mobilenet_v3_large": "mobilenet_v3_large", "squeezenet1_1": "squeezenet1_1",
    "quicksrnetsmall": "quicksrnet_small", "quicksrnetmedium": "quicksrnet_medium",
    "quicksrnetlarge": "quicksrnet_large", "sesr_m5": "sesr_m5", "posenet_mobilenet": "posenet_mobilenet",
}  # fmt: skip
"""The models that ran wholly on the NPU and are built here: what the NPU's law is fitted to."""


@dataclass(frozen=True)
class Placement:
    """One row of the table: the median of `reports`, with so many layers of the model on each processor."""

    model: str
    precision: str
    layers: tuple[int, int, int]
    reports: int
    latency_ms: float

    @property
    def used(self) -> tuple[str, ...]:
        return tuple(name for name, count in zip(PROCESSORS, self.layers, strict=True) if count)


@dataclass(frozen=True)
class Case:
    """A model, or a part of one that runs by itself, with runs of both kinds."""

    model: str
    mixed: tuple[Placement, ...]
    single: tuple[Placement, ...]

    @property
    def best_single(self) -> Placement:
        return min(self.single, key=lambda row: row.latency_ms)

    @property
    def best_mixed(self) -> Placement:
        return min(self.mixed, key=lambda row: row.latency_ms)

    @property
    def usual_mixed(self) -> Placement:
        return max(self.mixed, key=lambda row: row.reports)

    def loses(self, mixed: Placement) -> bool:
        """Whether it was measured slower than the fastest run on one processor."""
        return mixed.latency_ms > self.best_single.latency_ms


class Foretold(NamedTuple):
    """Milliseconds of a mixed placement and of the best single processor, as the model has them."""

    mixed_ms: float
    single_ms: float
    switches: float

    @property
    def loses(self) -> bool:
        return self.mixed_ms > self.single_ms


def read_placements(path: Path = PATH) -> dict[str, list[Placement]]:
    """All rows by model; the parts of a model are models of their own."""
    found: dict[str, list[Placement]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            model = "/".join(part for part in (row["model"], row["component"]) if part)
            npu, gpu, cpu = (int(row[f"layers_{name}"]) for name in PROCESSORS)
            found.setdefault(model, []).append(
                Placement(model, row["precision"], (npu, gpu, cpu), int(row["n_reports"]), float(row["median_ms"]))
            )
    return found


def cases(rows: Mapping[str, Iterable[Placement]]) -> list[Case]:
    """The models that ran both on several processors and on one."""
    found = []
    for model, placements in sorted(rows.items()):
        mixed = tuple(row for row in placements if len(row.used) > 1)
        single = tuple(row for row in placements if len(row.used) == 1)
        if mixed and single:
            found.append(Case(model, mixed, single))
    return found


def foretell(case: Case, mixed: Placement) -> Foretold:
    """What the model says of `mixed` and of the processors that the table has running the whole of the model."""
    table = _tables()[NETWORK[case.model]]
    whole = _whole_ms(case.model)
    total = sum(mixed.layers)
    share_ms = sum(count / total * whole[name] for name, count in zip(PROCESSORS, mixed.layers, strict=True))
    switches = sum(2 * a * b / total for a, b in combinations(mixed.layers, 2))
    map_bytes = sum(layer.written * count for layer, count in table) // sum(count for _, count in table)
    able = {name for row in case.single for name in row.used}
    return Foretold(share_ms + switches * _switch_ms(map_bytes), min(whole[name] for name in able), switches)


def _whole_ms(model: str) -> dict[str, float]:
    """The whole model on one processor; on the NPU measured where it was, else by the law."""
    layers = [layer for layer, count in _tables()[NETWORK[model]] for _ in range(count)]
    settings = (Setting("sd865", "tflite", "gpu", "fp16", 0), Setting("sd865", "tflite", "cpu", "int8", 4))
    predicted = {setting.processor: predict_latency(layers, setting).latency_us / 1e3 for setting in settings}
    measured = _measured_on_npu()
    npu_ms = measured[model] if model in measured else _npu_law() @ _npu_work(NETWORK[model])
    return {"npu": npu_ms, **predicted}


class _Law(NamedTuple):
    """Milliseconds of an NPU: per inference, per layer, per 1e9 multiply-adds, per 1e6 elements read and written."""

    fixed: float
    layer: float
    gmac: float
    melement: float

    def __matmul__(self, work: tuple[float, ...]) -> float:
        return sum(a * b for a, b in zip(self, work, strict=True))


def _npu_work(network: str) -> tuple[float, ...]:
    table = _tables()[network]
    gmac = sum(layer.macs * count for layer, count in table) / 1e9
    moved = sum((layer.read + layer.written) * count for layer, count in table) / 1e6
    return 1.0, float(sum(count for _, count in table)), gmac, moved


@cache
def _npu_law() -> _Law:
    """Least sum of absolute relative errors, no coefficient below 0: a linear program."""
    solver = pywraplp.Solver.CreateSolver("GLOP")
    law = [solver.NumVar(0, solver.infinity(), name) for name in _Law._fields]
    loss = solver.Objective()
    for model, measured_ms in sorted(_measured_on_npu().items()):
        above, below = solver.NumVar(0, solver.infinity(), ""), solver.NumVar(0, solver.infinity(), "")
        loss.SetCoefficient(above, 1)
        loss.SetCoefficient(below, 1)
        foretold = sum(work / measured_ms * each for work, each in zip(_npu_work(NPU[model]), law, strict=True))
        solver.Add(foretold + above - below == 1)
    if solver.Solve() != pywraplp.Solver.OPTIMAL:
        raise RuntimeError("the NPU's law has no solution")
    return _Law(*(each.solution_value() for each in law))


@cache
def _measured_on_npu() -> dict[str, float]:
    """The most often reported run of every model of `NPU` that used nothing but the NPU."""
    rows = read_placements()
    runs = {model: [row for row in rows[model] if row.used == ("npu",)] for model in NPU}
    return {model: max(found, key=lambda row: row.reports).latency_ms for model, found in runs.items()}


def _switch_ms(size_bytes: int) -> float:
    """A map from one processor to another: mean of the target's two links; those of the NPU are not known."""
    links = load_target("sd865").links
    return sum(transfer_us(link, size_bytes) for link in links) / len(links) / 1e3


@cache
def _tables() -> dict[str, Table]:
    return read_tables()
