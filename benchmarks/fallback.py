"""How much of the sample networks other engines do not support: the tables of docs/fallback.md.

python -m benchmarks.fallback [--paste docs/fallback.md]
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path

import onnx_ir as ir

from benchmarks.paste import paste
from examples.quantise import quantise
from examples.zoo import build
from hetpart.frontend import import_model
from hetpart.oracle.profiles import load_profile
from hetpart.oracle.profiles.schemes import SCHEMES, count
from hetpart.report.profiles import ProfileSummary, profile_report
from hetpart.targets import load_target

TARGET = load_target("sd855")
NETWORKS = (
    "resnet50",
    "vgg16",
    "yolov2",
    "posenet",
    "retinaface",
    "fast_style_transfer_deconv",
    "resnet18",
    "mobilenetv2",
    "inception_v1",
    "squeezenet",
    "shufflenetv2",
)
"""ResNet-50 and the networks of CoDL's evaluation, on which the study rests; then a few more."""

PROFILES = ("mace-gpu", "mace-gpu-buffer", "tflite-gpu", "nnapi-1", "nnapi-3", "nnapi-7")

QUANTISED = ("resnet50", "mobilenetv2", "mobilenetv3_small", "shufflenetv2", "retinaface")
"""Networks that are tried in 8 bits, by `examples.quantise`."""

INT8_PROFILES = (("mace-dsp", "sd855"), ("tflite-hexagon", "sd855"), ("tflite-gpu", "sd855"), ("qnn-htp", "sd888"))
"""Profile and target."""

SCHEMES_HEAD = (
    "| network | operators | " + " | ".join(scheme.name for scheme in SCHEMES) + " |",
    "|---|---:|" + "---:|" * len(SCHEMES),
)
PROFILES_HEAD = ("| network | nodes | " + " | ".join(PROFILES) + " |", "|---|---:|" + "---:|" * len(PROFILES))
INT8_HEAD = (
    "| network in int8 | nodes | " + " | ".join(f"{name}, {target}" for name, target in INT8_PROFILES) + " |",
    "|---|---:|" + "---:|" * len(INT8_PROFILES),
)


@cache
def imported(network: str) -> ir.Model:
    return import_model(build(network))


def schemes_row(network: str) -> str:
    """Unsupported share under each scheme, the share without added operators in brackets where it differs."""
    counts = [count(imported(network), scheme, TARGET) for scheme in SCHEMES]
    cells = [f"{c.share:.0%}" + (f" ({c.own_share:.0%})" if c.added else "") for c in counts]
    return f"| {network} | {counts[0].operators} | " + " | ".join(cells) + " |"


def profiles_row(network: str) -> str:
    """Unsupported share, share that is accelerated, and partitions, under each profile."""
    report = profile_report(imported(network), [load_profile(name) for name in PROFILES], TARGET)
    return f"| {network} | {len(report.nodes)} | " + " | ".join(map(_cell, report.summaries)) + " |"


def int8_row(network: str) -> str:
    """The same for the quantised network."""
    model = import_model(quantise(build(network)))
    reports = [profile_report(model, [load_profile(name)], load_target(target)) for name, target in INT8_PROFILES]
    cells = [_cell(report.summaries[0]) for report in reports]
    return f"| {network} | {len(reports[0].nodes)} | " + " | ".join(cells) + " |"


def _cell(summary: ProfileSummary) -> str:
    return f"{summary.unsupported_share:.0%}, {summary.accelerated_share:.0%}, {summary.partitions}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paste", type=Path, metavar="PAGE.md", help="put the tables into this page")
    page = parser.parse_args().paste
    for name, head, row, networks in (
        ("schemes", SCHEMES_HEAD, schemes_row, NETWORKS),
        ("profiles", PROFILES_HEAD, profiles_row, NETWORKS),
        ("int8", INT8_HEAD, int8_row, QUANTISED),
    ):
        text = "\n".join([*head, *map(row, networks)])
        print(text)
        if page is not None:
            paste(page, name, text)


if __name__ == "__main__":
    main()
