"""Quantised networks on one core: hetpart in int8 against onnxruntime in int8, and hetpart in float32 beside them.

    python -m benchmarks.int8 [NAME ...] [--runs N] [--activations uint8|int8]

The zoo's networks are quantised by onnxruntime (QDQ form, int8 weights per channel, a few random inputs to calibrate).
All contestants run in one process, in turn, run by run, on core 0 with one thread; times are medians of wall time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime as ort

from examples.quantise import quantise
from examples.zoo import build as build_model
from examples.zoo import inputs as model_inputs
from hetpart.build import build
from hetpart.compiler import Options
from hetpart.runtime.session import Session

MODELS = ("resnet50", "mobilenetv2", "squeezenet", "resnet18")
WARM_UP = 3


@dataclass(frozen=True)
class Row:
    """Median milliseconds of one network, measured."""

    model: str
    onnxruntime_ms: float
    int8_ms: float
    float32_ms: float


def measure(name: str, runs: int, activations: str, folder: Path) -> Row:
    """Quantises and compiles the network, and runs the three contestants in turn."""
    model = build_model(name)
    quantised = quantise(model, activations=activations)
    feeds = model_inputs(model, 0)
    for source, suffix in ((model, "float32"), (quantised, "int8")):
        build(source, "host", folder / f"{name}-{suffix}", Options(strategy="cpu"), verify="none", overwrite=True)
    with Session(folder / f"{name}-float32", trace=False) as full, Session(folder / f"{name}-int8", trace=False) as own:
        os.sched_setaffinity(0, {0})
        reference = _onnxruntime(quantised)
        contestants: dict[str, Callable[[], object]] = {
            "ort": lambda: reference.run(None, feeds),
            "int8": lambda: own.run(feeds),
            "float32": lambda: full.run(feeds),
        }
        times: dict[str, list[float]] = {who: [] for who in contestants}
        for _ in range(runs + WARM_UP):
            for who, run in contestants.items():
                start = time.perf_counter()
                run()
                times[who].append(1e3 * (time.perf_counter() - start))
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    median = {who: statistics.median(values[WARM_UP:]) for who, values in times.items()}
    return Row(name, median["ort"], median["int8"], median["float32"])


def _onnxruntime(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| model | onnxruntime int8 ms | hetpart int8 ms | ratio | hetpart float32 ms |", "|---|---|---|---|---|"]
    for row in rows:
        ratio = row.int8_ms / row.onnxruntime_ms
        times = f"{row.onnxruntime_ms:.2f} | {row.int8_ms:.2f} | {ratio:.2f} | {row.float32_ms:.2f}"
        lines.append(f"| {row.model} | {times} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS, help=f"zoo names; default: {' '.join(MODELS)}")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--activations", choices=("uint8", "int8"), default="uint8")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hetpart-bench-") as folder:
        print(table([measure(n, arguments.runs, arguments.activations, Path(folder)) for n in arguments.models]))


if __name__ == "__main__":
    main()
