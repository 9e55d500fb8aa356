"""Many traced runs -> the entries, links, copies and launches of a profile."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hetpart.profile.data import CopyTime, Entry, LinkTime, Spread
from hetpart.profile.keys import Unit
from hetpart.profile.samples import Sample


@dataclass(frozen=True)
class Run:
    """One run: its length in microseconds, what its trace says, and when by the device's clock it began."""

    length_us: float
    samples: Sequence[Sample]
    start_us: float = 0.0


@dataclass(frozen=True)
class Times:
    """What was found out: see `Profile`."""

    entries: tuple[Entry, ...]
    links: tuple[LinkTime, ...]
    copies: tuple[CopyTime, ...]
    launch_us: dict[str, Spread]


def summarise(
    plans: Mapping[str, Sequence[Run]],
    memory_and_kernels: Mapping[Unit, tuple[str, str]],
    scale: Mapping[str, float] | None = None,
) -> Times:
    """Times of units, of links and of launches.

    Args:
        plans: runs by plan, those first in which units run as undisturbed as can be: a unit's time is that in the
            first plan that has it on that processor.
        memory_and_kernels: the rest of the key of every (unit, processor) that ran.
        scale: by plan, what times are multiplied by, because recording them takes time, too.
    """
    launch_us = _launches(itertools.chain.from_iterable(plans.values()))
    chosen: dict[Unit, float] = {}
    every: dict[Unit, list[float]] = {}
    for plan, runs in plans.items():
        factor = (scale or {}).get(plan, 1.0)
        before = set(chosen)
        for unit, values in _latencies(middle(runs), launch_us).items():
            if unit not in before:
                chosen[unit] = factor * statistics.fmean(values)
        for unit, values in _latencies(runs, launch_us).items():
            if unit not in before:
                every[unit] = [factor * value for value in values]
    copies = _copies(plans, scale or {})
    for copy in copies:  # so that links know what a copy takes that waits for another processor
        for sample in _every_sample(plans):
            if sample.copied_bytes and sample.processor == copy.processor:
                grown_us = sample.copied_bytes / (copy.gb_per_s * 1e3) if copy.gb_per_s else 0.0
                chosen[sample.unit, sample.processor] = copy.fixed_us + grown_us
    links = _links(plans, chosen, scale or {}, launch_us)
    return Times(_entries(chosen, every, memory_and_kernels), links, copies, launch_us)


def _every_sample(plans: Mapping[str, Sequence[Run]]) -> Iterable[Sample]:
    return (sample for runs in plans.values() for run in runs for sample in run.samples)


def middle(runs: Sequence[Run]) -> list[Run]:
    """The middle half of the runs by length: those that nothing disturbed and nothing favoured."""
    ranked = sorted(runs, key=lambda run: run.length_us)
    cut = len(ranked) // 4
    return ranked[cut : len(ranked) - cut]


def _latencies(runs: Iterable[Run], launch_us: Mapping[str, Spread]) -> dict[Unit, list[float]]:
    found: dict[Unit, list[float]] = {}
    for run in runs:
        for sample in run.samples:
            if sample.copied_bytes:
                continue
            if sample.undisturbed:
                time = sample.end_us - sample.ready_us
            else:
                gap = launch_us.get(sample.processor)
                time = sample.end_us - sample.start_us + (gap.median_us if gap else 0.0)
            found.setdefault((sample.unit, sample.processor), []).append(time)
    return found


def _launches(runs: Iterable[Run]) -> dict[str, Spread]:
    gaps: dict[str, list[float]] = {}
    for run in runs:
        for sample in run.samples:
            if sample.undisturbed:
                gaps.setdefault(sample.processor, []).append(max(0.0, sample.start_us - sample.ready_us))
    return {processor: Spread.of(values) for processor, values in gaps.items()}


def _entries(
    chosen: Mapping[Unit, float], every: Mapping[Unit, list[float]], keys: Mapping[Unit, tuple[str, str]]
) -> tuple[Entry, ...]:
    """One per key; units with one key share the mean of their times, so that the sum over a network stays."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for unit, processor in every:
        memory, kernels = keys[unit, processor]
        groups.setdefault((processor, memory, kernels), []).append(unit)
    entries = []
    for (processor, memory, kernels), units in groups.items():
        latency_us = statistics.fmean(chosen[unit, processor] for unit in units)
        spread = Spread.of(itertools.chain.from_iterable(every[unit, processor] for unit in units))
        entries.append(Entry(processor, memory, kernels, tuple(units), round(latency_us, 3), spread))
    return tuple(entries)


def _links(
    plans: Mapping[str, Sequence[Run]],
    chosen: Mapping[Unit, float],
    scale: Mapping[str, float],
    launch_us: Mapping[str, Spread],
) -> tuple[LinkTime, ...]:
    """By pair of processors, how much later a unit is done that waited for another processor than one that did not."""
    extra: dict[tuple[str, str], dict[tuple[str, str, int], list[float]]] = {}
    longer: dict[tuple[str, str], list[float]] = {}  # of that, from the start of the first kernel
    for plan, runs in plans.items():
        for run in middle(runs):
            for sample in run.samples:
                if sample.source and (sample.unit, sample.processor) in chosen:
                    alone = chosen[sample.unit, sample.processor] / scale.get(plan, 1.0)
                    points = extra.setdefault((sample.source, sample.processor), {})
                    values = points.setdefault((plan, sample.unit, sample.crossing_bytes), [])
                    values.append(sample.end_us - sample.ready_us - alone)
                    gap_us = launch_us[sample.processor].median_us if sample.processor in launch_us else 0.0
                    kernels_us = sample.end_us - sample.start_us
                    longer.setdefault((sample.source, sample.processor), []).append(kernels_us - (alone - gap_us))
    links = []
    for (source, target), points in extra.items():
        means = [(size, statistics.fmean(values)) for (_, _, size), values in points.items()]
        fixed_us, gb_per_s = line(means)
        spread = Spread.of(itertools.chain.from_iterable(points.values()))
        share = statistics.median(longer[source, target]) / spread.median_us if spread.median_us > 0 else 0.0
        links.append(LinkTime(source, target, fixed_us, gb_per_s, spread, round(min(1.0, max(0.0, share)), 3)))
    return tuple(links)


def _copies(plans: Mapping[str, Sequence[Run]], scale: Mapping[str, float]) -> tuple[CopyTime, ...]:
    """By processor, what copies take that wait for nobody."""
    times: dict[str, dict[tuple[str, str, int], list[float]]] = {}
    for plan, runs in plans.items():
        for run in middle(runs):
            for sample in run.samples:
                if sample.copied_bytes and sample.undisturbed:
                    points = times.setdefault(sample.processor, {})
                    values = points.setdefault((plan, sample.unit, sample.copied_bytes), [])
                    values.append((sample.end_us - sample.ready_us) * scale.get(plan, 1.0))
    copies = []
    for processor, points in times.items():
        fixed_us, gb_per_s = line([(size, statistics.fmean(values)) for (_, _, size), values in points.items()])
        copies.append(CopyTime(processor, fixed_us, gb_per_s, Spread.of(itertools.chain(*points.values()))))
    return tuple(copies)


def line(points: Sequence[tuple[int, float]]) -> tuple[float, float | None]:
    """(microseconds at size 0, GB/s or None) of a line through (bytes, microseconds), outliers notwithstanding.

    Theil and Sen's estimate: the median of the slopes between any two points, and the median height at that slope. A
    slope needs at least eight points.
    """
    slopes = [(t2 - t1) / (s2 - s1) for (s1, t1), (s2, t2) in itertools.combinations(points, 2) if s1 != s2]
    slope = statistics.median(slopes) if slopes and len(points) >= _LINE_FROM else 0.0
    slope = max(0.0, slope)
    fixed_us = max(0.0, statistics.median(time - slope * size for size, time in points))
    return round(fixed_us, 2), round(1 / (slope * 1e3), 3) or None if slope else None


_LINE_FROM = 8
