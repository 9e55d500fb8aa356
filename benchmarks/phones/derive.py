"""Writes what the phones' target files take from the law of published latencies.

    python -m benchmarks.phones.derive

hetpart's kernels have run on no phone. They are taken to be as fast as those of the fastest engine that is published on
the processor, and in the dtype on some chip, by geometric mean over the networks that the law was fitted to. The files
name the engine (`hetpart.targets.schema.KernelLaw`) and state the law's time of a launch; everything else about these
kernels `hetpart.cost.estimate` asks of the law itself.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import hetpart.targets
from benchmarks.phones.rows import networks
from hetpart.cost.fitted import as_published, class_times, engines
from hetpart.cost.law import LAUNCH
from hetpart.cost.layers import Layer
from hetpart.cost.phones import Setting
from hetpart.cost.predict import extrapolated, predict_latency

FOLDER = Path(hetpart.targets.__file__).parent
TARGETS = ("sd855", "sd865", "sd888", "kirin990", "kirin985")

LIKE = {"kirin985": "kirin990"}
"""Chips without published latencies, and the one whose engines are extrapolated to them."""

DTYPES = {"cpu": ("fp32", "fp16", "int8"), "gpu": ("fp32",)}
"""What kernels compute in, by processor; those of a GPU compute in fp32 whatever they store."""


def fastest(target: str, processor: str, dtype: str) -> Setting:
    """`target` with the fastest engine that need not be extrapolated, as `hetpart predict` chooses it."""
    best = min(candidates(target, processor, dtype), key=mean_ms)
    return replace(best, chip=target)


def candidates(target: str, processor: str, dtype: str) -> list[Setting]:
    """The published engines that need not be extrapolated; on the chip that lends its engines, where there is one."""
    threads = 0 if processor == "gpu" else 4
    tried = [Setting(LIKE.get(target, target), name, processor, dtype, threads) for name in engines(processor)]
    return [each for each in tried if not extrapolated(each)]


def derived(target: str, processor: str) -> dict[str, str]:
    """What the target file says of the processor, by key: engines, and the law's launch in microseconds."""
    best = {dtype: fastest(target, processor, dtype) for dtype in DTYPES[processor]}
    launch_us = 1e3 * class_times([Layer("move", read=1, written=1)], as_published(best["fp32"]))[LAUNCH]
    return {"launch_us": f"{launch_us:.3g}", **{dtype: f'"{each.engine}"' for dtype, each in best.items()}}


@cache
def mean_ms(setting: Setting) -> float:
    """The geometric mean over the networks with published latencies."""
    times = [
        predict_latency([layer for layer, count in table for _ in range(count)], setting).latency_us / 1e3
        for table in networks().values()
    ]
    return math.exp(sum(map(math.log, times)) / len(times))


def rewritten(target: str) -> str:
    """The target file with the derived figures in their places."""
    lines, section = [], ""
    found = {name: derived(target, name) for name in ("cpu", "gpu")}
    for line in (FOLDER / f"{target}.toml").read_text(encoding="utf-8").splitlines():
        if header := re.match(r"\[processors\.(\w+)\.cost(\.law)?\]", line):
            section = header[1]
        elif line.startswith("["):
            section = ""
        stated = re.match(r"(\w+) = \S+ +(#.*)", line)
        if section and stated and stated[1] in found[section]:
            line = f"{f'{stated[1]} = {found[section][stated[1]]}':<26} {stated[2]}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> None:
    for target in TARGETS:
        (FOLDER / f"{target}.toml").write_text(rewritten(target), encoding="utf-8")


if __name__ == "__main__":
    main()
