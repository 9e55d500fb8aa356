"""Whole networks on hetpart and on other engines, on one core or several: ``python -m benchmarks.models``.

Every engine runs in its own process, pinned to the cores, in fp32, and is checked against onnxruntime's outputs before
it is timed. They take turns, round by round; a figure is the median of all runs but the cold ones. On one core it is
CPU time summed over the threads of the process, on several it is wall time.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import engines
from benchmarks.machine import facts, fma_peak
from benchmarks.paste import paste
from benchmarks.table import Row, geometric_mean, markdown
from benchmarks.turns import measure
from examples import zoo

FAST = ("resnet50", "mobilenetv2", "squeezenet")

ALL = (
    "resnet18", "resnet50", "vgg16", "squeezenet", "mobilenetv1", "mobilenetv2", "mobilenetv3_small", "inception_v1",
    "densenet121", "yolov2", "shufflenetv2", "unet", "vit_tiny", "bert_tiny",
)  # fmt: skip


def main() -> int:
    arguments = _arguments()
    names = list(dict.fromkeys([*("hetpart", engines.REFERENCE), *(arguments.engines or engines.NAMES)]))
    cores = list(range(arguments.cores))
    models = arguments.models or (ALL if arguments.all else FAST)
    about = facts(names, cores)
    peaks = [fma_peak(cores[0])]
    rows = []
    for model in models:
        rows.append(
            Row(model, measure(zoo.build(model), names, cores, arguments.rounds, arguments.keep), len(cores) > 1)
        )
        print(markdown(rows[-1:], names).splitlines()[2], file=sys.stderr, flush=True)
        peaks.append(fma_peak(cores[0]))
        if arguments.json:  # what there is so far, too
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(json.dumps(document(about, peaks, rows), indent=1) + "\n")
    measured = [name for name in names if any(row.ms(name) is not None for row in rows)]
    text = f"{caption(about, peaks, len(cores))}\n\n{markdown(rows, measured)}"
    print(text)
    if arguments.paste:
        paste(arguments.paste, f"models, cores: {len(cores)}", text)
    return 0


def document(about: dict[str, object], peaks: Sequence[float], rows: Sequence[Row]) -> dict[str, object]:
    """Everything of a benchmark, for JSON; `peaks` were measured before the first and after each model."""
    return {
        "schema": 1,
        "machine": about,
        "peak_gflops": [round(peak, 1) for peak in peaks],
        "models": {
            row.model: {
                "engines": {name: asdict(result) for name, result in row.results.items()},
                "ratio_onnxruntime": row.ratio(engines.REFERENCE),
                "fastest_other": row.fastest_other,
                "ratio_fastest_other": row.ratio(row.fastest_other),
            }
            for row in rows
        },
        "geometric_mean": {
            "ratio_onnxruntime": geometric_mean(row.ratio(engines.REFERENCE) for row in rows),
            "ratio_fastest_other": geometric_mean(row.ratio(row.fastest_other) for row in rows),
        },
    }


def caption(about: dict[str, object], peaks: Sequence[float], cores: int) -> str:
    """Machine, date and versions in a sentence or two, for Markdown."""
    versions = about["versions"]
    assert isinstance(versions, dict)
    listed = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "hetpart")
    return (
        f"{about['date']}, {about['processor']}, {cores} core{'s' if cores > 1 else ''}, "
        f"{'wall' if cores > 1 else 'CPU'} time; FMA peak of a core {min(peaks):.0f} to {max(peaks):.0f} GFLOP/s; "
        f"hetpart at {about['commit']}; {listed}."
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"zoo names; default: {' '.join(FAST)}")
    parser.add_argument("--all", action="store_true", help=f"{len(ALL)} models: {' '.join(ALL)}")
    parser.add_argument("--engines", nargs="+", choices=engines.NAMES, help="only these, hetpart and onnxruntime")
    parser.add_argument("--cores", type=int, default=1, help="cores 0 to N - 1, a thread each (default: 1)")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each engine (default: 15)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything to this file")
    parser.add_argument("--paste", type=Path, metavar="PAGE", help="put the table into this page, between its marks")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the other engines' converted models here")
    arguments = parser.parse_args()
    if unknown := [model for model in arguments.models if model not in zoo.names()]:
        parser.error(f"no such model: {', '.join(unknown)}; there are {', '.join(zoo.names())}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
