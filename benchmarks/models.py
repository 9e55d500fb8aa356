"""Whole networks on one core against onnxruntime, and the two-processor plan beside it.

    python -m benchmarks.models [NAME ...] [--runs N] [--json FILE]

All contestants run in one process, in turn, run by run: hetpart's CPU-only plan on core 0, onnxruntime with one thread
on core 0, and hetpart's best plan on cores 0 and 1. Times are medians of wall time; compare them within a row only.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx
import onnxruntime as ort

from examples.zoo import build as build_model
from examples.zoo import inputs as model_inputs
from hetpart.build import build
from hetpart.compiler import Options
from hetpart.runtime.session import Session

MODELS = ("resnet50", "mobilenetv2", "squeezenet")


@dataclass(frozen=True)
class Row:
    """Median milliseconds of one network, measured; `predicted_ms` is the estimate for the two-processor plan."""

    model: str
    onnxruntime_ms: float
    cpu_ms: float
    both_ms: float
    predicted_ms: float

    @property
    def ratio(self) -> float:
        """hetpart on one core over onnxruntime on one core."""
        return self.cpu_ms / self.onnxruntime_ms


def measure(name: str, runs: int, folder: Path) -> Row:
    """Compiles the network twice and runs the three contestants in turn."""
    model = build_model(name)
    feeds = model_inputs(model, 0)
    for strategy in ("cpu", "ilp"):
        build(model, "host", folder / f"{name}-{strategy}", Options(strategy=strategy), verify="none", overwrite=True)
    with Session(folder / f"{name}-cpu", trace=False) as cpu, Session(folder / f"{name}-ilp", trace=False) as both:
        # after the sessions have pinned threads of their own: this thread is onnxruntime's
        os.sched_setaffinity(0, {0})
        reference = _onnxruntime(model)
        contestants: dict[str, Callable[[], object]] = {
            "ort": lambda: reference.run(None, feeds),
            "cpu": lambda: cpu.run(feeds),
            "both": lambda: both.run(feeds),
        }
        times: dict[str, list[float]] = {who: [] for who in contestants}
        for index in range(runs + 3):
            for who, run in contestants.items():
                start = time.perf_counter()
                run()
                if index >= 3:  # the first rounds warm caches up
                    times[who].append(1e3 * (time.perf_counter() - start))
        predicted_ms = both.manifest.predicted_us / 1e3
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    median = {who: statistics.median(values) for who, values in times.items()}
    return Row(name, median["ort"], median["cpu"], median["both"], predicted_ms)


def _onnxruntime(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    lines = [
        "| model | onnxruntime ms | hetpart CPU ms | ratio | hetpart CPU + GPU ms | predicted ms |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row.model} | {row.onnxruntime_ms:.2f} | {row.cpu_ms:.2f} | {row.ratio:.2f} "
            f"| {row.both_ms:.2f} | {row.predicted_ms:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS, help=f"zoo names; default: {' '.join(MODELS)}")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hetpart-bench-") as folder:
        rows = [measure(name, arguments.runs, Path(folder)) for name in arguments.models]
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) | {"ratio": row.ratio} for row in rows], indent=2))


if __name__ == "__main__":
    main()
