"""The law of phone latencies: ``T = sum over kernel classes of X * exp(sum of effects)``.

X is a class's work at the chip's nominal speed, in milliseconds: multiply-adds at peak, corrected for tiles that are
partly spare, short sums and Winograd's saving; bytes at 10 GB/s; 1 or 10 us per kernel launched. An effect is the log
of a factor that belongs to a class, engine, chip, dtype or number of threads, or to a combination of them; its prior is
normal around 0. `benchmarks.phones.fit` estimates the effects; docs/cost-model.md tells how well they predict.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hetpart.cost.layers import Layer
from hetpart.cost.phones import CHIPS, DTYPE_BYTES, MACS_PER_CYCLE, Setting

CPU_COMPUTE = ("stem", "conv3x3", "conv", "conv1x1", "depthwise3", "depthwise5", "grouped")
CPU_MEMORY = ("dense", "streamed", "pool", "elementwise", "activations", "weights")
GPU_COMPUTE = ("conv", "conv1x1", "depthwise", "grouped")
GPU_MEMORY = ("dense", "pool", "elementwise", "activations")
LAUNCH = "launch"

NARROW = 16
"""Channels of a group below which a convolution is one of its own kind, and Winograd's transform does not pay."""

TRANSFORM = 20
"""What Winograd's transforms take per value of a tile, in multiply-adds: arithmetic both ways, loads and stores."""

LARGE_MAP = 288
"""Pixels per thread from which Winograd's tiles are large, as in Paddle-Lite's conv_winograd.cc."""

CACHES = 8 << 20
"""Bytes that no chip of the data caches: weights beyond them come from memory, at nearly 10 GB/s (a narrow prior)."""

FUSING = frozenset({"paddle-lite"})
"""Engines whose GPU kernels do the activation behind a convolution, whichever it is (conv_activation_fuse_pass.cc)."""

LITTLE_GHZ = 1.86
"""Clock of the Kirin 990's A55 cores, the only small ones in the data."""

Effects = tuple[tuple[str, float], ...]
"""Names of effects and the standard deviations of their priors."""


@dataclass(frozen=True)
class Term:
    """The part of a latency that one kernel class causes: ``nominal_ms * exp(sum of the effects)``."""

    kernel_class: str
    nominal_ms: float
    effects: Effects


def terms(layers: Iterable[tuple[Layer, int]], setting: Setting, version: str = "") -> list[Term]:
    """The terms of a network, given as layers and how often each occurs, in `setting`."""
    found = nominal_ms(layers, setting)
    return [Term(name, ms, effects_of(name, setting, version)) for name, ms in found.items() if ms > 0]


def nominal_ms(layers: Iterable[tuple[Layer, int]], setting: Setting) -> dict[str, float]:
    """Milliseconds at nominal speed by kernel class; 0 for classes that the layers do not have."""
    return _cpu(layers, setting) if setting.processor == "cpu" else _gpu(layers, setting)


def latency_ms(found: Iterable[Term], effects: Mapping[str, float]) -> dict[str, float]:
    """Milliseconds per kernel class; an effect that is not known is 0, the mean of its prior."""
    return {t.kernel_class: t.nominal_ms * math.exp(sum(effects.get(n, 0.0) for n, _ in t.effects)) for t in found}


def effects_of(kernel_class: str, setting: Setting, version: str) -> Effects:
    """The effects whose sum is the log of a class's factor."""
    where, engine, dtype, threads = setting.processor, setting.engine, setting.dtype, setting.threads
    chip = CHIPS[setting.chip]
    cpu = where == "cpu"
    compute = kernel_class in (CPU_COMPUTE if cpu else GPU_COMPUTE)
    kind = "compute" if compute else "launch" if kernel_class == LAUNCH else "memory"
    silicon = f"{setting.chip}-little" if setting.little else setting.chip
    found = [
        (f"class/{where}/{kernel_class}", 0.25 if kernel_class == "streamed" else 1.5),
        (f"dtype/{where}/{dtype}/{kernel_class}", 0.3),
        (f"engine/{where}/{engine}", 0.4),
        (f"engine-class/{where}/{engine}/{kernel_class}", 0.35),
        (f"engine-dtype/{where}/{engine}/{dtype}", 0.2),
        (f"engine-chip/{where}/{engine}/{silicon}", 0.12),
        (f"chip/{where}/{silicon}/{'compute' if compute else 'memory'}", 0.12 if cpu else 0.3),
        (f"setting/{setting.key}", 0.06),
    ]
    if version:
        found.append((f"version/{where}/{engine}/{version}", 0.4 if version == "nn-meter" else 0.1))
    if "armv7" in version:
        found.append((f"armv7/{kernel_class}", 0.3))
    if setting.memory:
        found.append((f"memory/{setting.memory}/{kernel_class}", 0.6))
    if not cpu:
        found.append((f"gpu/{chip.gpu}/{kernel_class}", 0.2))
    elif threads > 1:
        found += [
            (f"threads/{min(threads, 4)}/{kind}", 0.5),
            (f"threads-class/{min(threads, 4)}/{kernel_class}", 0.3),
            (f"engine-threads/{engine}/{threads}", 0.15),
            (f"chip-threads/{silicon}/{threads}", 0.3 if threads == 8 else 0.1),
        ]
        if threads > 4:  # on small cores as well
            found.append((f"threads-class/{threads}/{kernel_class}", 0.3))
    return tuple(found)


def _cpu(layers: Iterable[tuple[Layer, int]], setting: Setting) -> dict[str, float]:
    totals = dict.fromkeys((*CPU_COMPUTE, *CPU_MEMORY, LAUNCH), 0.0)
    winograd = setting.engine != "tflite" and setting.dtype != "int8"
    block = 16 // DTYPE_BYTES[setting.dtype]
    for layer, count in layers:
        totals[LAUNCH] += count
        if not layer.macs:
            totals[_memory_class(layer)] += count * (layer.read + layer.written)
        elif layer.pixels == 1:
            values = max(layer.weights, layer.read)
            totals["streamed" if values * DTYPE_BYTES[setting.dtype] > CACHES else "dense"] += count * values
        else:
            name = _cpu_class(layer)
            totals[name] += count * layer.macs * _cpu_padding(layer, name, winograd, block, setting.threads)
            totals["activations"] += count * (layer.read + layer.written)
            if not layer.depthwise:
                totals["weights"] += count * layer.weights
    chip = CHIPS[setting.chip]
    core, clock = ("a55", LITTLE_GHZ) if setting.little else (chip.core, chip.clock_ghz)
    cores = 1.0 if setting.threads == 1 else min(setting.threads, 4) * chip.second_ghz / chip.clock_ghz
    gmacs = clock * MACS_PER_CYCLE[core][setting.dtype] * cores
    return _milliseconds(totals, CPU_COMPUTE, gmacs, setting.dtype, 1e-3 * 2.84 / clock)


def _memory_class(layer: Layer) -> str:
    """Pooling and normalisation read each value several times, or many values for one result."""
    return "pool" if layer.kind in ("pool", "norm") else "elementwise"


def _narrow(layer: Layer) -> bool:
    """Groups too narrow for the kernels of ungrouped convolutions; each of the wider ones is run as one of these."""
    return layer.group > 2 and min(layer.c_in, layer.c_out) < NARROW * layer.group


def _cpu_class(layer: Layer) -> str:
    if layer.depthwise:
        return "depthwise3" if layer.kernel[0] <= 3 else "depthwise5"
    if _narrow(layer):
        return "grouped"
    if layer.kernel == (1, 1):
        return "conv1x1"
    eligible = layer.kind == "conv" and layer.kernel == (3, 3) and layer.stride == 1
    if eligible and min(layer.c_in, layer.c_out) >= NARROW * layer.group:
        return "conv3x3"
    return "stem" if layer.c_in <= 4 else "conv"


def _cpu_padding(layer: Layer, name: str, winograd: bool, block: int, threads: int) -> float:
    """Work over multiply-adds: 8 output channels by 8 pixels at a time, and the start of a sum.

    Winograd's kernels take 6 x 6 pixels at a time, or 2 x 2 of small maps, whole blocks of channels, and transform both
    sides.
    """
    if layer.depthwise:
        return 1.0 if layer.stride == 1 else 1.3
    c_in, c_out = layer.c_in // layer.group, layer.c_out // layer.group
    width = _whole(c_out, 8)
    if name == "conv3x3" and winograd:
        depth = _whole(c_in, block)
        side = 6 if layer.pixels >= LARGE_MAP * threads else 2
        values = math.ceil(layer.out[0] / side) * math.ceil(layer.out[1] / side) * (side + 2) ** 2
        return values * (depth * width + TRANSFORM * (depth + width)) / (9 * layer.pixels * c_in * c_out)
    factor = width / c_out * (c_in + 8 / math.prod(layer.kernel)) / c_in
    return factor * _whole(layer.pixels, 8) / layer.pixels


def _whole(count: int, block: int) -> int:
    """`count`, the last block filled up."""
    return math.ceil(count / block) * block


def _gpu(layers: Iterable[tuple[Layer, int]], setting: Setting) -> dict[str, float]:
    totals = dict.fromkeys((*GPU_COMPUTE, *GPU_MEMORY, LAUNCH), 0.0)
    for layer, count in layers:
        if layer.kind == "activation" and setting.engine in FUSING:
            continue
        totals[LAUNCH] += count
        if not layer.macs:
            totals[_memory_class(layer)] += count * (layer.read + layer.written)
        elif layer.pixels == 1:
            totals["dense"] += count * max(layer.weights, layer.read)
        elif layer.depthwise:
            totals["depthwise"] += count * layer.macs
            totals["activations"] += count * (layer.read + layer.written)
        else:
            depth, c_out = layer.c_in // layer.group, layer.c_out // layer.group
            factor = _whole(c_out, 4) / c_out * _whole(depth, 4) / depth
            name = "grouped" if _narrow(layer) else "conv1x1" if layer.kernel == (1, 1) else "conv"
            totals[name] += count * layer.macs * factor
            totals["activations"] += count * (layer.read + layer.written + layer.weights)
    gmacs = CHIPS[setting.chip].gpu_gmacs * (2 if setting.dtype == "fp16" else 1)
    return _milliseconds(totals, GPU_COMPUTE, gmacs, setting.dtype, 1e-2)


def _milliseconds(
    totals: dict[str, float], compute: tuple[str, ...], gmacs: float, dtype: str, launch_ms: float
) -> dict[str, float]:
    scale = {name: 1e-6 / gmacs if name in compute else DTYPE_BYTES[dtype] * 1e-7 for name in totals}
    scale[LAUNCH] = launch_ms
    return {name: total * scale[name] for name, total in totals.items()}
