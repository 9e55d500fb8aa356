"""A target explained: every figure with its comment, derived figures with where they come from."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from hetpart.report.target import print_target
from hetpart.targets import load_target, target_names, target_sources

PHONE = """# A phone that nobody makes.
title = "Phone [bold]"
block = 4  # NEON
unified_memory = true

[facts]
memory = "LPDDR6 # fast"  # a brochure

[processors.cpu]
kind = "cpu"
title = "two cores"
threads = 2
clusters = [  # lscpu
    { name = "big", cores = 2, clock_mhz = 2000 },
]
facts.power = 3.5
codegen = { triples = ["aarch64-linux-android"], mcpu = "x", mattr = [], lanes = 4, registers = 32, l2_bytes = 1024 }

# Measured by the profiler,
# on a cold day.
[processors.cpu.cost]
peak_gflops = 64.0  # 2 x 4 x 2 x 2 GHz x 2 cores
bandwidth_gb_per_s = 10
launch_us = 8.0
[processors.cpu.cost.efficiency]
conv = 0.8  # measured
conv1x1 = 0.8
conv3x3 = 0.9
conv_grouped = 0.5
conv_transpose = 0.6
depthwise = 0.3
dense = 0.6
matmul = 0.6
generic = 0.02
memory = 0.8
norm = 0.4
generic_memory = 0.15
int8_conv = 2.0  # guessed

[processors.dsp]
kind = "hexagon"
title = "a DSP"
codegen = { mcpu = "hexagonv66" }

# Never measured.
[[links]]
source = "cpu"
target = "dsp"
fixed_us = 100
gb_per_s = 5
"""


def printed(name: str, width: int = 100) -> str:
    text = io.StringIO()
    print_target(load_target(name), target_sources(name), Console(file=text, width=width))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def test_a_phone(tmp_path: Path, golden: Callable[[str], None]) -> None:
    (tmp_path / "phone.toml").write_text(PHONE)
    golden(printed(str(tmp_path / "phone.toml")))


def test_all_comments_of_the_shipped_targets_are_shown() -> None:
    for name in target_names():
        text = " ".join(printed(name, width=1000).split())
        for path, comment in target_sources(name).items():
            assert " ".join(comment.split()) in text, f"{name}: {path}"
