"""Where the time of a network goes, unit by unit, beside onnxruntime's: ``python -m benchmarks.layers MODEL``.

hetpart's times come from the runtime's trace of the CPU-only plan, onnxruntime's from its profile. Both run in this
process on one core, in turn, twice each round; the second run counts, and a figure is the median over the rounds.
onnxruntime's nodes are found by the name of a node or value of the unit; what it fused under other names is listed
below the table. Rates count the multiply-adds of the plain algorithm, so that Winograd's may exceed the peak.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx

from benchmarks.machine import facts, fma_peak
from benchmarks.profile import Profiled
from benchmarks.shapes import describe
from benchmarks.worker import PRIORITY
from examples import zoo
from hetpart.build import build
from hetpart.compiler import Options, decide
from hetpart.cost.work import work
from hetpart.graph.units import UnitGraph
from hetpart.phases import Phases
from hetpart.runtime.session import Session
from hetpart.targets import load_target

COLD_ROUNDS = 2


@dataclass(frozen=True)
class Layer:
    """One unit, measured.

    Attributes:
        unit: its name, the anchor node's.
        operators: what it fuses.
        shape: of its work, for people.
        kernel_class: see `hetpart.cost.work.Work`.
        macs: multiply-adds.
        ms: hetpart's.
        ort_ms: onnxruntime's for the same nodes, None if none of its nodes bears one of their names.
    """

    unit: str
    operators: str
    shape: str
    kernel_class: str
    macs: int
    ms: float
    ort_ms: float | None

    @property
    def gflops(self) -> float:
        return 2e-6 * self.macs / self.ms if self.ms else 0.0

    @property
    def loss_ms(self) -> float:
        """What hetpart loses against onnxruntime here; negative where it wins."""
        return 0.0 if self.ort_ms is None else self.ms - self.ort_ms


@dataclass(frozen=True)
class Layers:
    """A network: its units in order, and the rest of onnxruntime's time by operator."""

    model: str
    layers: tuple[Layer, ...]
    ort_rest_ms: Mapping[str, float]
    peak_gflops: tuple[float, ...]


def measure(name: str, rounds: int, core: int = 0) -> Layers:
    """Compiles the zoo's model `name` for this machine and measures it on `core`."""
    model = zoo.build(name)
    feeds = zoo.inputs(model, 0)
    options = Options(strategy="cpu")
    decision = decide(model, load_target("host"), options, Phases())
    with tempfile.TemporaryDirectory(prefix="hetpart-bench-") as folder:
        build(model, "host", Path(folder) / "bundle", options, verify="none")
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {core})
        peak = fma_peak(core)
        try:
            with Session(Path(folder) / "bundle", pin={"cpu": [core]}, threads=1) as session:
                ours, theirs = _take_turns(session, Profiled(model), feeds, rounds)
        finally:
            os.sched_setaffinity(0, allowed)
        peaks = peak, fma_peak(core)
    units = decision.assignment.graph
    matched, rest = match(theirs, units, model)
    layers = []
    for unit in units:
        if unit.name in decision.assignment.free and unit.name not in ours:
            continue
        effort = work(unit, units, decision.assignment.layouts)
        operators = "+".join(node.op_type for node in unit.nodes) or unit.kind
        ort_ms = matched.get(unit.name)
        layers.append(
            Layer(unit.name, operators, describe(unit, units), effort.kernel_class, effort.macs,
                  ours.get(unit.name, 0.0), ort_ms)
        )  # fmt: skip
    return Layers(name, tuple(layers), rest, peaks)


def _take_turns(
    session: Session, reference: Profiled, feeds: Mapping[str, np.ndarray], rounds: int
) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    """Median milliseconds by unit and by (name, operator) of onnxruntime's nodes."""
    ours: dict[str, list[float]] = {}
    for index in range(COLD_ROUNDS + rounds):
        for _ in range(2):
            session.run(feeds)
        if index >= COLD_ROUNDS:
            spent: Counter[str] = Counter()
            for event in session.trace()["traceEvents"]:
                if event["ph"] == "X":
                    spent[event["name"]] += event["dur"]
            for name, duration in spent.items():
                ours.setdefault(name, []).append(duration / 1e3)
        for _ in range(2):
            reference.run(feeds)
    theirs = {
        key: statistics.median(durations[2 * COLD_ROUNDS + 1 :: 2]) for key, durations in reference.durations().items()
    }
    return {name: statistics.median(durations) for name, durations in ours.items()}, theirs


def match(
    theirs: Mapping[tuple[str, str], float], units: UnitGraph, model: onnx.ModelProto
) -> tuple[dict[str, float], dict[str, float]]:
    """onnxruntime's milliseconds by unit, and those that belong to none by operator.

    Args:
        theirs: milliseconds by (name of the node, operator), see `benchmarks.profile`.
        units: hetpart's.
        model: the network as both were given it.
    """
    unit_of = {}
    for unit in units:
        for node in unit.nodes:
            unit_of.update({str(name): unit.name for name in (node.name, *(v.name for v in node.outputs))})
    for node in model.graph.node:  # a pass may have merged it into the unit that makes its input
        names = {node.name, *node.output}
        owner = next((unit_of[name] for name in (*names, *node.input) if name in unit_of), None)
        unit_of.update({name: owner for name in names - unit_of.keys() if owner})
    matched: Counter[str] = Counter()
    rest: Counter[str] = Counter()
    for (name, operator), ms in theirs.items():
        if name in unit_of:
            matched[unit_of[name]] += ms  # type: ignore[assignment]  # a Counter of floats
        else:
            rest[operator] += ms  # type: ignore[assignment]  # likewise
    return dict(matched), dict(rest)


def markdown(found: Layers, *, by_loss: bool = False) -> str:
    """Three tables: units, kernel classes, and the rest of onnxruntime's time."""
    peak = statistics.mean(found.peak_gflops)
    layers = sorted(found.layers, key=lambda layer: -layer.loss_ms) if by_loss else found.layers
    heads = "unit", "operators", "shape", "ms", "onnxruntime ms", "ratio", "loss ms", "GFLOP/s", "% of peak"
    rows: list[Sequence[str]] = [heads, ["---", "---", "---", *["--:"] * 6]]
    for layer in layers:
        rate = (f"{layer.gflops:.1f}", f"{100 * layer.gflops / peak:.0f}") if layer.macs else ("", "")
        rows.append((layer.unit, layer.operators, layer.shape, *_against(layer.ms, layer.ort_ms), *rate))
    heads = "class", "units", "GMAC", "ms", "onnxruntime ms", "ratio", "loss ms", "GFLOP/s", "% of peak"
    totals: list[Sequence[str]] = [heads, ["---", *["--:"] * 8]]
    for kind in dict.fromkeys(layer.kernel_class for layer in found.layers):
        totals.append(_total(kind, [layer for layer in found.layers if layer.kernel_class == kind], 0.0, peak))
    rest_ms = sum(found.ort_rest_ms.values())
    totals.append(_total("**all, with onnxruntime's rest**", found.layers, rest_ms, peak))
    rest = ", ".join(f"{op} {ms:.3f}" for op, ms in sorted(found.ort_rest_ms.items(), key=lambda item: -item[1]))
    peaks = " and ".join(f"{value:.0f}" for value in found.peak_gflops)
    return "\n".join(
        [
            f"### {found.model}",
            "",
            f"FMA peak before and after: {peaks} GFLOP/s.",
            "",
            *(f"| {' | '.join(row)} |" for row in totals),
            "",
            *(f"| {' | '.join(row)} |" for row in rows),
            "",
            f"Nodes of onnxruntime under other names, ms: {rest or 'none'}.",
        ]
    )


def _against(ms: float, ort_ms: float | None) -> tuple[str, str, str, str]:
    if ort_ms is None:
        return f"{ms:.3f}", "", "", ""
    ratio = f"{ms / ort_ms:.2f}" if ort_ms else ""
    return f"{ms:.3f}", f"{ort_ms:.3f}", ratio, f"{ms - ort_ms:+.3f}"


def _total(title: str, layers: Iterable[Layer], rest_ms: float, peak: float) -> Sequence[str]:
    layers = list(layers)
    ms, macs = sum(layer.ms for layer in layers), sum(layer.macs for layer in layers)
    ort_ms = sum(layer.ort_ms or 0.0 for layer in layers) + rest_ms
    rate = 2e-6 * macs / ms if ms else 0.0
    rates = (f"{rate:.1f}", f"{100 * rate / peak:.0f}") if macs else ("", "")
    return title, str(len(layers)), f"{macs / 1e9:.3f}", *_against(ms, ort_ms), *rates


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", choices=zoo.names(), metavar="MODEL", help=", ".join(zoo.names()))
    parser.add_argument("--rounds", type=int, default=15, help="measured rounds (default: 15)")
    parser.add_argument("--by-loss", action="store_true", help="sort units by what is lost against onnxruntime")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything to this file")
    arguments = parser.parse_args()
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError:
        print("no real-time priority: other processes may interrupt the measurement", file=sys.stderr)
    found = []
    for name in arguments.models:
        found.append(measure(name, arguments.rounds))
        print(markdown(found[-1], by_loss=arguments.by_loss), end="\n\n", flush=True)
    if arguments.json:
        about = facts(("hetpart", "onnxruntime"), [0])
        data = {"schema": 1, "machine": about, "models": [asdict(layers) for layers in found]}
        arguments.json.write_text(json.dumps(data, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
