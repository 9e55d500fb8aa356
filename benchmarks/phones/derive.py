"""Writes the cost tables of the phones from the law of published latencies: ``python -m benchmarks.phones.derive``.

A table stands for kernels as fast as those of the fastest engine that is published on the processor. Every efficiency
is the one with which `hetpart.cost.estimate` takes as long for a kernel class as the law does, over the networks that
the law was fitted to, each of which counts as one. Bandwidth is that of layers without sums or of dense ones, whichever
is higher, but no more than the memory has; it is the caches' as much as the memory's. What the law does not tell stays
as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import hetpart.targets
from benchmarks.phones.tables import kernel_class, networks, work_of
from hetpart.cost.layers import Layer
from hetpart.cost.phones import DTYPE_BYTES, Setting
from hetpart.cost.predict import class_times, engines, measured_on, predict_latency
from hetpart.targets import load_target

FOLDER = Path(hetpart.targets.__file__).parent
MEMORY_GB_PER_S = {"sd855": 34.1, "sd865": 44.0, "sd888": 51.2, "kirin990": 34.1, "kirin985": 34.1}
"""Peak of the memory: `facts.memory` of the target files."""

LIKE = {"kirin985": "kirin990"}
"""Chips without published latencies, and the one whose engines are extrapolated to them."""

SHARED = 0.265
"""On buffers instead of images, of the same efficiency: 3x3 convolutions take 2.7 to 4 times as long (CoDL Fig. 2)."""

CONVOLUTIONS = ("conv", "conv1x1", "conv3x3", "conv_grouped", "depthwise")
_CLASSES: dict[str, tuple[str, tuple[str, ...]]] = {
    **{name: ("fp32", (name,)) for name in (*CONVOLUTIONS, "matmul")},
    "conv_transpose": ("fp32", ("conv",)),
    **{f"{dtype}_conv": (dtype, CONVOLUTIONS[:4]) for dtype in ("int8", "fp16")},
    **{f"{dtype}_depthwise": (dtype, ("depthwise",)) for dtype in ("int8", "fp16")},
}
"""Key of a table -> dtype and classes of layers that it is derived from."""


def engine_of(target: str, processor: str, dtype: str) -> str:
    """The fastest engine that is published on the processor, in whatever dtype: by geometric mean over the networks."""
    chip = LIKE.get(target, target)
    settings = [_setting(chip, processor, dtype, engine) for engine in engines(processor)]
    return min((each for each in settings if measured_on(each)), key=_mean).engine


def derived(target: str, processor: str) -> dict[str, tuple[float, str]]:
    """The figures of a table that follow from the law, by key, and the engine that they are of."""
    table = load_target(target).processor(processor).cost
    assert table is not None
    setting = _best(target, processor, "fp32")
    layers = _weighed(setting)
    speed = _speed(layers, "memory", lambda layer: layer.read + layer.written)
    bandwidth = min(max(speed, _speed(layers, "dense", lambda layer: layer.weights)), MEMORY_GB_PER_S[target])
    found = {
        "launch_us": (1e3 * layers[0][3], setting.engine),
        "bandwidth_gb_per_s": (bandwidth, setting.engine),
        "memory": (speed / bandwidth, setting.engine),
        "norm": (speed / bandwidth / 2, setting.engine),
    }
    for key, (dtype, classes) in _CLASSES.items():
        if processor == "cpu" or dtype == "fp32":
            best = _best(target, processor, dtype)
            share = _efficiency(_weighed(best), set(classes), dtype, table.peak_gflops, bandwidth)
            found[key] = (share, best.engine)
    return found


def _efficiency(layers: list[_Weighed], classes: set[str], dtype: str, gflops: float, bandwidth: float) -> float:
    """By bisection, as the time of a class falls with its efficiency; at most 9.9, where bandwidth bounds it."""
    law_ms = _sum_law(layers, classes)

    def table_ms(layer: Layer, share: float) -> float:
        todo = work_of(layer)
        moved = (todo.read_bytes + todo.write_bytes) * DTYPE_BYTES[dtype] / 4
        return max(2e-6 * todo.macs / (gflops * share), 1e-6 * moved / bandwidth)

    low, high = 1e-3, 9.9
    for _ in range(40):
        middle = math.sqrt(low * high)
        if _sum(layers, classes, lambda layer, share=middle: table_ms(layer, share)) > law_ms:  # type: ignore[misc]  # a default binds
            low = middle
        else:
            high = middle
    return high


_Weighed = tuple[Layer, float, float, float]
"""A layer, its weight, and by the law the milliseconds of its work and of its launch."""


@cache
def _weighed(setting: Setting) -> list[_Weighed]:
    found: list[_Weighed] = []
    for table in networks().values():
        times = [class_times([layer], setting) for layer, _ in table]
        total = sum(count * sum(each.values()) for each, (_, count) in zip(times, table, strict=True))
        for each, (layer, count) in zip(times, table, strict=True):
            launch = each.pop("launch")
            found.append((layer, count / total, sum(each.values()), launch))
    return found


def _speed(layers: list[_Weighed], name: str, elements: Callable[[Layer], float]) -> float:
    """1e9 bytes of float32 per second."""
    return _sum(layers, {name}, lambda layer: 4e-6 * elements(layer)) / _sum_law(layers, {name})


def _sum(layers: Iterable[_Weighed], classes: set[str], value: Callable[[Layer], float]) -> float:
    return sum(weight * value(layer) for layer, weight, _, _ in layers if kernel_class(layer) in classes)


def _sum_law(layers: Iterable[_Weighed], classes: set[str]) -> float:
    return sum(weight * busy for layer, weight, busy, _ in layers if kernel_class(layer) in classes)


@cache
def _mean(setting: Setting) -> float:
    times = [
        predict_latency([layer for layer, count in table for _ in range(count)], setting).latency_us
        for table in networks().values()
    ]
    return math.exp(sum(map(math.log, times)) / len(times))


@cache
def _best(target: str, processor: str, dtype: str) -> Setting:
    return _setting(target, processor, dtype, engine_of(target, processor, dtype))


def _setting(chip: str, processor: str, dtype: str, engine: str) -> Setting:
    buffers = "buffer" if (processor, engine) == ("gpu", "mace") and chip.startswith("kirin") else ""
    return Setting(chip, engine, processor, dtype, 0 if processor == "gpu" else 4, buffers)


def rewritten(target: str) -> str:
    """The target file with the derived figures in their places."""
    lines, section = [], ""
    found = {name: derived(target, name) for name in ("cpu", "gpu")}
    for line in (FOLDER / f"{target}.toml").read_text(encoding="utf-8").splitlines():
        if header := re.match(r"\[processors\.(\w+)\.cost(\.efficiency)?\]", line):
            section = header[1]
        elif line.startswith("["):
            section = ""
        stated = re.match(r"(\w+) = [0-9.]+ +#", line)
        if section and stated and stated[1] in found[section]:
            value, engine = found[section][stated[1]]
            line = f"{f'{stated[1]} = {value:.3g}':<26} # fit: {engine}"
        elif section and line.startswith("shared = "):
            shares = (f"{key} = {SHARED * found[section][key][0]:.2g}" for key in re.findall(r"(\w+) = [0-9]", line))
            line = f"shared = {{ {', '.join(shares)} }}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> None:
    for target in MEMORY_GB_PER_S:
        (FOLDER / f"{target}.toml").write_text(rewritten(target), encoding="utf-8")


if __name__ == "__main__":
    main()
