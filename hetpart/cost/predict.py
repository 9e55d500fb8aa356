"""Predicts how long a network takes on one processor of a published chip, as a published engine would run it.

A prediction is always an estimate; its band comes from how well the law did without the network's family.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from hetpart.cost.fitted import as_published, class_times, engines, measured_on, stored
from hetpart.cost.layers import Layer
from hetpart.cost.phones import CHIPS, DTYPE_BYTES, Setting
from hetpart.errors import HetpartError

OWN = "hetpart"
"""hetpart's kernels have not been published on a phone: they count as the fastest published engine in that setting."""

_ENOUGH = 20
"""Published latencies of a chip's processor that its own band takes; with fewer, one or two decide where it ends."""


@dataclass(frozen=True)
class Prediction:
    """An estimate of a whole network's latency.

    Attributes:
        setting: what was predicted; its engine is the one whose parameters were used.
        engine: the engine asked for.
        latency_us: the estimate.
        low_us, high_us: four of five published latencies lay within this band in cross-validation; None if not known.
        band_of: those latencies, e.g. ``127 latencies on sd855's cpu``; empty without a band.
        shares: share of the latency per kernel class, the largest first.
        extrapolated: why there are no data near; empty if the engine was published on this chip and dtype.
        method: ``published-latencies``, the fitted law, or ``cost-table``, that of the target (`hetpart.single`).
        left_out: what the processor cannot run and is not counted; the law does not ask, so empty there.
    """

    setting: Setting
    engine: str
    latency_us: float
    low_us: float | None
    high_us: float | None
    band_of: str
    shares: dict[str, float]
    extrapolated: str
    method: Literal["published-latencies", "cost-table"] = "published-latencies"
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "latency_us": round(self.latency_us, 1),
            "band_us": None
            if self.low_us is None or self.high_us is None
            else [round(self.low_us, 1), round(self.high_us, 1)],
            "band_of": self.band_of or None,
            "origin": "estimated",
            "method": self.method,
            "left_out": list(self.left_out),
            "extrapolated": self.extrapolated or None,
            "engine": self.engine,
            "parameters_of": self.setting.engine,
            "processor": self.setting.processor,
            "dtype": self.setting.dtype,
            "threads": self.setting.threads or None,
            "shares": {name: round(share, 4) for name, share in self.shares.items()},
        }


def predict_latency(layers: Sequence[Layer], setting: Setting) -> Prediction:
    """The latency of `layers` in `setting`; engine ``hetpart`` stands for the fastest published one.

    Raises:
        HetpartError: ``unknown-chip``, ``unknown-engine``, ``unknown-processor``, ``unknown-dtype`` or ``bad-threads``.
    """
    check_setting(setting)
    if setting.engine != OWN:
        return _predict(layers, setting, setting.engine)
    tried = [_predict(layers, replace(setting, engine=engine), OWN) for engine in engines(setting.processor)]
    known = [p for p in tried if not p.extrapolated] or [p for p in tried if measured_on(p.setting)] or tried
    return min(known, key=lambda prediction: prediction.latency_us)


def _predict(layers: Sequence[Layer], setting: Setting, engine: str) -> Prediction:
    setting = as_published(setting)
    parts = class_times(layers, setting)
    total_us = sum(parts.values()) * 1e3
    why = extrapolated(setting)
    spread, band_of = _band(setting, why)
    shares = {name: ms * 1e3 / total_us for name, ms in sorted(parts.items(), key=lambda item: -item[1])}
    low_us, high_us = total_us * math.exp(-spread), total_us * math.exp(spread)
    return Prediction(setting, engine, total_us, low_us, high_us, band_of, shares, why)


def _band(setting: Setting, why: str) -> tuple[float, str]:
    """The log of the factor within which four of five predictions lay, on this chip or else on all, and whose it is.

    They were predicted without their family of networks or, for what is extrapolated, without their engine.
    """
    key = f"{'engine' if why else 'family'}/{setting.processor}"
    errors = stored()["errors"]
    chip = errors.get(f"{key}/{setting.chip}", {"rows": 0})
    if chip["rows"] >= _ENOUGH:
        return chip["p80_log"], f"{chip['rows']} latencies on {setting.chip}'s {setting.processor}"
    return errors[key]["p80_log"], f"{errors[key]['rows']} latencies on all chips' {setting.processor}s"


def extrapolated(setting: Setting) -> str:
    """Why nothing near `setting` is published; empty if the engine is on this chip's processor, and in this dtype."""
    keys = [key.split("/") for key in stored()["settings"]]
    where = (setting.engine, setting.processor)
    if not measured_on(setting):
        return f"no published latency of {setting.engine} on {setting.chip}'s {setting.processor}"
    if not any((k[1], k[2], k[3]) == (*where, setting.dtype) for k in keys):
        return f"no published latency of {setting.engine} in {setting.dtype} on a {setting.processor}"
    return ""


def check_setting(setting: Setting) -> None:
    """Refuses a setting about which nothing is known; raises as `predict_latency` does."""
    if setting.chip not in CHIPS:
        raise HetpartError(
            "unknown-chip",
            f"no phone latencies are published for {setting.chip}",
            hint=f"known: {', '.join(CHIPS)}; or host, or a path to a .toml file",
        )
    if setting.processor not in ("cpu", "gpu"):
        raise HetpartError(
            "unknown-processor", f"no law for processor {setting.processor}", hint="predict knows cpu and gpu"
        )
    known = engines(setting.processor)
    if setting.engine != OWN and setting.engine not in known:
        raise HetpartError(
            "unknown-engine",
            f"no published latencies of {setting.engine} on a {setting.processor}",
            hint="known: " + ", ".join((OWN, *known)),
        )
    dtypes = tuple(DTYPE_BYTES) if setting.processor == "cpu" else ("fp32", "fp16")
    if setting.dtype not in dtypes:
        raise HetpartError(
            "unknown-dtype",
            f"no published latencies in {setting.dtype} on a {setting.processor}",
            hint="known: " + ", ".join(dtypes),
        )
    if setting.processor == "cpu" and not 1 <= setting.threads <= 8:
        raise HetpartError("bad-threads", f"{setting.threads} threads: from 1 to 8 are published")
    if setting.memory not in ("", "buffer") or (setting.memory and setting.processor == "cpu"):
        raise HetpartError("bad-option", f"memory {setting.memory} means nothing on a {setting.processor}")
