"""The law with its fitted effects: milliseconds per kernel class, for `predict` and for `compile` alike.

Effects, and what they were fitted to, come from phones.json, which `benchmarks.phones.fit` writes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

from hetpart.cost.law import effects_of, nominal_ms
from hetpart.cost.layers import Layer
from hetpart.cost.phones import CHIPS, Setting

_SIMILAR: dict[str, str] = {
    "sd855": "sd855plus",
    "sd855plus": "sd855",
    "kirin990": "kirin990-5g",
    "kirin990-5g": "kirin990",
}
"""Chips that differ in clocks alone: one lends the other what is published only there."""


def class_times(layers: Sequence[Layer], setting: Setting) -> dict[str, float]:
    """Milliseconds per kernel class of the law, in the commonest version of the engine."""
    work = nominal_ms([(layer, 1) for layer in layers], setting)
    return {name: ms * _factor(name, setting) for name, ms in work.items() if ms > 0}


@cache
def _factor(kernel_class: str, setting: Setting) -> float:
    """On a class's nominal time; an effect that is not known is 0, the mean of its prior."""
    versions = stored()["settings"].get(setting.key, {})
    version = max(versions, key=lambda name: (versions[name], name)) if versions else ""
    effects, twin = stored()["effects"], _SIMILAR.get(setting.chip, "")
    total = 0.0
    for name, _ in effects_of(kernel_class, setting, version):
        borrowed = effects.get(name.replace(f"/{setting.chip}", f"/{twin}", 1), 0.0) if twin else 0.0
        total += effects.get(name, borrowed)
    return math.exp(total)


def as_published(setting: Setting) -> Setting:
    """`setting` with buffers for MACE's kernels on a Mali GPU: its choice there, and all that is published."""
    mali = setting.processor == "gpu" and CHIPS[setting.chip].gpu == "mali"
    return replace(setting, memory="buffer") if mali and setting.engine == "mace" else setting


def published(chip: str) -> bool:
    """Whether any latency of `chip`, or of one that differs in clocks alone, is published."""
    return bool({chip, _SIMILAR.get(chip, "")} & {key.split("/")[0] for key in stored()["settings"]})


def engines(processor: str) -> tuple[str, ...]:
    """The engines with published latencies on `processor` (cpu or gpu)."""
    return tuple(sorted({key.split("/")[1] for key in stored()["settings"] if key.split("/")[2] == processor}))


def measured_on(setting: Setting) -> bool:
    """Whether the engine was published on this chip's processor, in whatever dtype."""
    chips = {setting.chip, _SIMILAR.get(setting.chip, "")}
    return any(
        chip in chips and (engine, where) == (setting.engine, setting.processor)
        for chip, engine, where in (key.split("/")[:3] for key in stored()["settings"])
    )


@cache
def stored() -> dict[str, Any]:
    """Effects by name, rows by setting and version, and errors, as `benchmarks.phones.fit` wrote them."""
    loaded: dict[str, Any] = json.loads(resources.files("hetpart.cost").joinpath("phones.json").read_text())
    return loaded
