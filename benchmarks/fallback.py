"""How much of the sample networks other engines do not support: the tables of docs/fallback.md.

python -m benchmarks.fallback [--paste docs/fallback.md]
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path

import onnx_ir as ir

from benchmarks.paste import paste
from examples.zoo import build
from hetpart.frontend import import_model
from hetpart.oracle.profiles import load_profile
from hetpart.oracle.profiles.schemes import SCHEMES, count
from hetpart.report.profiles import profile_report
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

SCHEMES_HEAD = (
    "| network | operators | " + " | ".join(scheme.name for scheme in SCHEMES) + " |",
    "|---|---:|" + "---:|" * len(SCHEMES),
)
PROFILES_HEAD = ("| network | nodes | " + " | ".join(PROFILES) + " |", "|---|---:|" + "---:|" * len(PROFILES))


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
    cells = [f"{s.unsupported_share:.0%}, {s.accelerated_share:.0%}, {s.partitions}" for s in report.summaries]
    return f"| {network} | {len(report.nodes)} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paste", type=Path, metavar="PAGE.md", help="put the tables into this page")
    page = parser.parse_args().paste
    for name, head, row in (
        ("schemes", SCHEMES_HEAD, schemes_row),
        ("profiles", PROFILES_HEAD, profiles_row),
    ):
        text = "\n".join([*head, *map(row, NETWORKS)])
        print(text)
        if page is not None:
            paste(page, name, text)


if __name__ == "__main__":
    main()
