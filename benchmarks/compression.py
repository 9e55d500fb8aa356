"""What compression gains, side by side: ``python -m benchmarks.compression``.

On a phone's target, the steps of the study on ResNet-18 as estimated, beside what it published. On this machine, two
networks before and after, estimated and measured: the two run in turn, called from C, on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx

from benchmarks.machine import facts
from benchmarks.paste import paste
from examples import digits, zoo
from hetpart.build import build
from hetpart.compiler import Model, Options, decide
from hetpart.compression import AccuracyOptions
from hetpart.compression.accuracy import Accuracy
from hetpart.compression.compress import CompressReport, compress
from hetpart.phases import Phases
from hetpart.profile import Spread
from hetpart.profiler.bundle import write_profiler
from hetpart.profiler.here import run_profiler
from hetpart.targets import load_target

LOW_RANK = "low-rank"
PRUNE = "prune-channels{ratio=0.3}"
BOTH = f"{LOW_RANK},{PRUNE}"

GOAL = 10.0
"""Percentage points between the measured change of latency and the estimated one."""

TURNS = 8
TURN_S = 2
MOST_RUNS = 5000


@dataclass(frozen=True)
class Step:
    """One of the study's steps on a phone; changes of latency in percent, negative is faster.

    Attributes:
        what: was done, and to what it is compared.
        published: by the study, for its ResNet-18.
        estimated: by hetpart, for the sample network.
        after_us: estimated latency.
    """

    what: str
    published: float
    estimated: float
    after_us: float


def steps() -> list[Step]:
    """The study's rows; they are not one product, so each says what it starts from."""
    model = zoo.build("resnet18")

    def us(level: str, passes: str, strategy: str) -> float:
        options = Options(level=level, passes=passes, strategy=strategy)
        return decide(model, load_target("sd855"), options, Phases()).placement.makespan_us

    unfused, fused = us("O0", "", "cpu"), us("O1", "", "cpu")
    low_rank, both, pruned = us("O1", LOW_RANK, "cpu"), us("O1", BOTH, "cpu"), us("O1", PRUNE, "ilp")
    return [
        Step("low-rank factors (CPU, fused, against the same without)", -7.37, _change(fused, low_rank), low_rank),
        Step("channels pruned after that (CPU, against low-rank alone)", -31.19, _change(low_rank, both), both),
        Step("operators fused (CPU, against unfused)", -35.0, _change(unfused, fused), fused),
        Step("pruned, fused and partitioned (against CPU, unfused)", -48.4, _change(unfused, pruned), pruned),
    ]


def _change(before: float, after: float) -> float:
    return 100 * (after / before - 1)


@dataclass(frozen=True)
class Row:
    """One network before and after, on this machine.

    Attributes:
        passes: that compressed it.
        parameters, macs, bundle_bytes, estimated_us, measured: before and after.
        accuracy: top-1 on held-out samples, in percent, of the original and after each lossy pass; empty if there are
            no labels to compare with.
        seconds: that compressing took.
    """

    model: str
    passes: str
    parameters: tuple[int, int]
    macs: tuple[int, int]
    bundle_bytes: tuple[int, int]
    estimated_us: tuple[float, float]
    measured: tuple[Spread, Spread]
    accuracy: tuple[float, ...]
    seconds: float

    @property
    def estimated_change(self) -> float:
        return _change(*self.estimated_us)

    @property
    def measured_change(self) -> float:
        return _change(*(spread.median_us for spread in self.measured))

    @property
    def within(self) -> bool:
        return abs(self.measured_change - self.estimated_change) <= GOAL


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="hetpart-bench-") as name:
        folder = Path(name)
        training, held_out = digits.load()
        np.savez(folder / "seen.npz", image=training.images[:256])
        np.savez(folder / "heldout.npz", image=held_out.images, labels=held_out.labels.astype(np.int64))
        judged = AccuracyOptions(calibration=folder / "seen.npz", evaluation=str(folder / "heldout.npz"))
        onnx.save(zoo.build("resnet18"), folder / "resnet18.onnx")
        return [
            _row(digits.MODEL, "prune-channels{ratio=0.5,multiple=16},repair", judged, folder),
            _row(folder / "resnet18.onnx", LOW_RANK, AccuracyOptions(), folder),
            _row(folder / "resnet18.onnx", PRUNE, AccuracyOptions(), folder),
            _row(folder / "resnet18.onnx", BOTH, AccuracyOptions(), folder),
        ]


def _row(source: Path, passes: str, options: AccuracyOptions, folder: Path) -> Row:
    smaller = folder / f"{source.stem}-smaller.onnx"
    report = compress(source, load_target("host"), passes, options, output=smaller, overwrite=True)
    first, last = report.stages[0].size, report.stages[-1].size
    estimated = tuple(_estimate(model) for model in (source, smaller))
    measured = measure(source, smaller)
    sizes = tuple(_bundle_bytes(model, folder) for model in (source, smaller))
    return Row(
        source.stem, passes, (first.parameters, last.parameters), (first.macs, last.macs),
        (sizes[0], sizes[1]), (estimated[0], estimated[1]), measured, _accuracy(report), report.seconds,
    )  # fmt: skip


def _estimate(model: Model) -> float:
    return decide(model, load_target("host"), Options(strategy="cpu"), Phases()).placement.makespan_us


def _accuracy(report: CompressReport) -> tuple[float, ...]:
    known = report.compression.accuracy
    return tuple(score.value for score in known.scores) if isinstance(known, Accuracy) else ()


def _bundle_bytes(model: Model, folder: Path) -> int:
    bundle = folder / "bundle"
    build(model, "host", bundle, Options(strategy="cpu"), verify="none", overwrite=True)
    return sum(file.stat().st_size for file in bundle.rglob("*") if file.is_file())


def measure(*models: Model) -> tuple[Spread, Spread]:
    """Microseconds of calls on the host's CPU; the models run in turn, `TURN_S` seconds each."""
    calls: list[list[float]] = [[] for _ in models]
    with tempfile.TemporaryDirectory(prefix="hetpart-bench-") as folder:
        bundles = []
        for index, model in enumerate(models):
            decision = decide(model, load_target("host"), Options(strategy="cpu"), Phases())
            bundles.append(Path(folder) / str(index))
            write_profiler(decision, {"main": decision.placement}, Options(), bundles[-1], Phases())
        for _ in range(TURNS):
            for bundle, times in zip(bundles, calls, strict=True):
                times += run_profiler(bundle, MOST_RUNS, TURN_S).plans["main"].call_us
    before, after = (Spread.of(times) for times in calls)
    return before, after


def markdown(about: dict[str, object], phone: list[Step], here: list[Row]) -> str:
    lines = [
        "| ResNet-18 on sd855 | published | estimated | ms after |",
        "|---|--:|--:|--:|",
        *(f"| {s.what} | {s.published:+.1f} % | {s.estimated:+.1f} % | {s.after_us / 1e3:.2f} |" for s in phone),
        "",
        f"{about['date']}, {about['processor']}, one core, times of calls from C, medians (p10 to p90); hetpart at "
        f"{about['commit']}. Measured within {GOAL:.0f} points of estimated: {sum(row.within for row in here)} of "
        f"{len(here)}.",
        "",
        "| network, passes | parameters | MACs | bundle | estimated | measured | estimated us | measured | accuracy |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
        *(_line(row) for row in here),
    ]
    return "\n".join(lines)


def _line(row: Row) -> str:
    def mega(pair: tuple[int, int]) -> str:
        return f"{pair[0] / 1e6:.4g} -> {pair[1] / 1e6:.4g} M"

    spreads = [f"{s.median_us:.0f} ({s.p10_us:.0f} to {s.p90_us:.0f})" for s in row.measured]
    accuracy = " -> ".join(f"{value:.1f}" for value in row.accuracy) + " %" if row.accuracy else "not evaluated"
    return (
        f"| {row.model}, `{row.passes}` | {mega(row.parameters)} | {mega(row.macs)} | {mega(row.bundle_bytes)}B | "
        f"{row.estimated_change:+.1f} % | {row.measured_change:+.1f} %{'' if row.within else ' (!)'} | "
        f"{row.estimated_us[0]:.0f} -> {row.estimated_us[1]:.0f} | {' -> '.join(spreads)} | {accuracy} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compression", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything to this file")
    parser.add_argument("--paste", type=Path, metavar="PAGE", help="put the tables into this page, between its marks")
    arguments = parser.parse_args()
    about, phone, here = facts(["hetpart"], [0]), steps(), rows()
    text = markdown(about, phone, here)
    print(text)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        document = {"machine": about, "steps": [asdict(s) for s in phone], "rows": [asdict(r) for r in here]}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    if arguments.paste:
        paste(arguments.paste, "compression", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
