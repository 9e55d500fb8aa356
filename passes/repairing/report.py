"""What repair has to say: by how much each layer's output was off, and is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LayerNote:
    """A layer whose output should be what it was.

    Attributes:
        name: the node.
        before: relative L2 error of its output, on samples that nothing was fitted on.
        after: the same with the new weights; no larger than `before`.
        reason: why the weights are the old ones; None if they are new.
    """

    name: str
    before: float
    after: float
    reason: str | None = None


@dataclass(frozen=True)
class RepairNote:
    """All layers that a correction was looked for; `samples` is the number of runs that it was learnt from."""

    name: str
    samples: int
    layers: tuple[LayerNote, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        new = [layer for layer in self.layers if layer.reason is None]
        if not new:
            reason = "every layer computes what it did" if not self.layers else "no correction helps"
            return [f"{self.name}: nothing to do, {reason}"]
        before, after = (_percent([getattr(layer, when) for layer in new]) for when in ("before", "after"))
        return [
            f"{self.name}: {len(new)} of {len(self.layers)} layers corrected on {self.samples} samples, "
            f"output error {before} -> {after} (mean of layers)"
        ]


def _percent(errors: Sequence[float]) -> str:
    return f"{100 * sum(errors) / len(errors):.1f} %"
