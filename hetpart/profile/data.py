"""A profile: measured times by kernel, and what they were measured with."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

SCHEMA = 1
"""Version of the file; readers accept no other."""

FORMAT = "hetpart-profile"


@dataclass(frozen=True)
class Spread:
    """Measured microseconds: median, 10th and 90th percentile, and of how many values."""

    median_us: float
    p10_us: float
    p90_us: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        sample = np.fromiter(values, float)
        p10, median, p90 = (round(float(value), 2) for value in np.percentile(sample, (10, 50, 90)))
        return cls(median, p10, p90, len(sample))


def middle_mean(values: Iterable[float]) -> float:
    """Mean of the middle half."""
    ranked = sorted(values)
    cut = len(ranked) // 4
    return statistics.fmean(ranked[cut : len(ranked) - cut])


@dataclass(frozen=True)
class Entry:
    """One kind of work on one processor.

    Attributes:
        processor: its name.
        memory: ``shared``, or ``private`` where it worked in the processor's own form of maps.
        kernels: what was computed and how: the digests of the kernels' specs (see hetpart.profile.keys).
        units: the units of the measured model that do this work, for people.
        latency_us: what a schedule should count with: from when the processor and all inputs are ready to the end of
            the last kernel, the mean over the middle half of the runs by their length. Means add up, medians do not.
        spread: of the same figure over all runs and units.
    """

    processor: str
    memory: str
    kernels: str
    units: tuple[str, ...]
    latency_us: float
    spread: Spread

    @property
    def key(self) -> tuple[str, str, str]:
        return self.processor, self.memory, self.kernels


@dataclass(frozen=True)
class LinkTime:
    """What a step loses when its input comes from another processor: ``fixed_us + bytes / (gb_per_s * 1e3)``.

    It holds the wait, the transfer, and how much longer a kernel takes whose input is not in its cache.
    `gb_per_s` is None where time did not grow with size. `loading` is the share of the last of these, which a step that
    did not have to wait loses as well.
    """

    source: str
    target: str
    fixed_us: float
    gb_per_s: float | None
    spread: Spread
    loading: float = 0.0


@dataclass(frozen=True)
class CopyTime:
    """What a copy between shared and a processor's private memory takes: ``fixed_us + bytes / (gb_per_s * 1e3)``.

    Bytes are those of the map in float32. `gb_per_s` is None where time did not grow with size.
    """

    processor: str
    fixed_us: float
    gb_per_s: float | None
    spread: Spread


@dataclass(frozen=True)
class Contention:
    """How many times as long a processor's kernels take while another processor computes, in the same network.

    `factor` is the mean over the middle half of `n` runs, `p10` and `p90` are percentiles of those runs.
    """

    processor: str
    factor: float
    p10: float
    p90: float
    n: int


@dataclass(frozen=True)
class Profile:
    """Measured times.

    Attributes:
        model: what was run, for people.
        target: name of the target.
        target_digest: of what shapes its code; see hetpart.profile.keys.
        toolchain: digest of the code generators.
        created: ISO 8601, UTC.
        origin: how it was measured, for people.
        machine: processor, system, load: plain JSON, for people, but for ``processor``, which must be that of the
            machine where code for it is compiled natively.
        versions: of hetpart and of what it compiles with.
        entries: at most one of a key.
        links, copies, contention: as far as they were measured.
        launch_us: by processor, from the end of a kernel to the start of the next in line.
        start_us, end_us: of a call: until the first kernel of the host starts, and from the end of the last kernel
            to the caller's next line; copies of inputs and outputs are in it. None if not measured.
    """

    model: str
    target: str
    target_digest: str
    toolchain: str
    created: str
    origin: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    entries: tuple[Entry, ...]
    links: tuple[LinkTime, ...] = ()
    copies: tuple[CopyTime, ...] = ()
    contention: tuple[Contention, ...] = ()
    launch_us: Mapping[str, Spread] | None = None
    start_us: float | None = None
    end_us: float | None = None
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}
