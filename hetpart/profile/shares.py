"""Estimates beside measured times, per kernel class, and the shares of the roof, or of the law's speed, that a target's
file should state.

A share (``efficiency``, or ``shared`` on a processor that has private memory) stands for a whole class of kernels, so
it is fitted to sums: over the units whose estimate it decides, not those that launching or the memory's bandwidth does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from hetpart.cost.estimate import Cost
from hetpart.profile.data import Profile
from hetpart.profile.keys import Unit
from hetpart.targets.schema import MEMORY_CLASSES, UNTUNED_CLASSES, Target


@dataclass(frozen=True)
class Share:
    """One kernel class on one processor; times in microseconds, summed over units.

    Attributes:
        processor: its name.
        table: ``efficiency`` or ``shared``: where in the target's cost table the share stands.
        kernel_class: its key there.
        units: measured units of the class.
        estimated_us, measured_us: what they take by the target's estimate and by the profile.
        share: what the target states.
        deciding: the units among them whose estimate the share decides.
        busy_estimated_us, busy_measured_us: what those take, launches apart.
    """

    processor: str
    table: str
    kernel_class: str
    units: int
    estimated_us: float
    measured_us: float
    share: float
    deciding: int
    busy_estimated_us: float
    busy_measured_us: float

    @property
    def ratio(self) -> float | None:
        """Estimated by measured; None if nothing was measured."""
        return self.estimated_us / self.measured_us if self.measured_us else None

    @property
    def fitted(self) -> float | None:
        """The share with which the estimates' sum would be what was measured; None where it decides no estimate."""
        if not self.deciding or self.busy_measured_us <= 0:
            return None
        return self.share * self.busy_estimated_us / self.busy_measured_us

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "fitted": self.fitted}


def shares(
    profile: Profile,
    keys: Mapping[Unit, tuple[str, str]],
    target: Target,
    estimates: Mapping[str, Mapping[str, Cost]],
) -> tuple[Share, ...]:
    """By processor and class, those of the units that `profile` has.

    Args:
        profile: of the network that the estimates are of.
        keys: memory and kernels by unit and processor.
        target: states the shares.
        estimates: by unit and processor.
    """
    times = {entry.key: entry.latency_us for entry in profile.entries}
    found = []
    for unit, row in estimates.items():
        for processor, cost in row.items():
            memory, kernels = keys[unit, processor]
            measured_us = times.get((processor, memory, kernels))
            table = target.processor(processor).cost
            if measured_us is None or table is None or cost.kernel_class == "view":
                continue
            name = _deciding_class(cost)
            apart = memory == "shared" and name == cost.kernel_class and name in table.shared
            share = table.share(name, shared=apart)
            whole = name in MEMORY_CLASSES or (table.law is not None and name not in UNTUNED_CLASSES)
            roofs = ("memory", "compute") if whole else ("compute",)
            busy = (cost.latency_us - cost.launch_us, max(0.0, measured_us - cost.launch_us))
            deciding = (1, *busy) if cost.bound in roofs else (0, 0.0, 0.0)
            where = processor, "shared" if apart else "efficiency", name
            found.append(Share(*where, 1, cost.latency_us, measured_us, share, *deciding))
    return summed(found)


def _deciding_class(cost: Cost) -> str:
    """The key of the share: TVM's own schedules have one for arithmetic and one for memory."""
    return "generic_memory" if cost.kernel_class == "generic" and cost.bound == "memory" else cost.kernel_class


def summed(rows: Iterable[Share]) -> tuple[Share, ...]:
    """Rows of one class on one processor as one, in order of first appearance by processor."""
    sums: dict[tuple[str, str, str], Share] = {}
    for row in rows:
        key = row.processor, row.table, row.kernel_class
        old = sums.get(key)
        sums[key] = (
            row
            if old is None
            else replace(
                old,
                units=old.units + row.units,
                estimated_us=old.estimated_us + row.estimated_us,
                measured_us=old.measured_us + row.measured_us,
                deciding=old.deciding + row.deciding,
                busy_estimated_us=old.busy_estimated_us + row.busy_estimated_us,
                busy_measured_us=old.busy_measured_us + row.busy_measured_us,
            )
        )
    return tuple(sorted(sums.values(), key=lambda row: (row.processor, row.table, -row.measured_us)))
