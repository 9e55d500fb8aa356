"""What passes that compress are told of the target, and what is kept of what they did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from hetpart.compression.accuracy import NOT_EVALUATED, Accuracy, Similarity
from hetpart.cost.estimate import estimate
from hetpart.graph.assign import assign
from hetpart.oracle import judge
from hetpart.passes.base import Context, ExplainingNote, Note
from hetpart.passes.fuse import fuse
from hetpart.targets import Target


@dataclass(frozen=True)
class Compression:
    """What lossy passes made of a model.

    Attributes:
        model: the compressed model in canonical form: what is compiled must compute what it computes.
        notes: what the passes did.
        accuracy: what is known of the price; None if nobody looked.
        refused: why it must not be used: it costs more accuracy than allowed; empty if it may.
    """

    model: ir.Model
    notes: tuple[Note, ...]
    accuracy: Accuracy | Similarity | None = None
    refused: str = ""

    @property
    def verdict(self) -> str:
        """What is known of the accuracy, in a line."""
        return NOT_EVALUATED if self.accuracy is None else self.accuracy.text()

    def to_json(self) -> dict[str, Any]:
        found = None if self.accuracy is None else self.accuracy.to_json()
        return {"accuracy": self.verdict, "evaluation": found, "passes": [note.to_json() for note in self.notes]}

    def lines(self, *, explain: bool = False) -> list[str]:
        """What every pass did, in short or (`explain`) all it has to say, and what is known of the accuracy."""
        found = []
        for note in self.notes:
            found += note.explain() if explain and isinstance(note, ExplainingNote) else note.lines()
        return [*found, *([NOT_EVALUATED] if self.accuracy is None else self.accuracy.lines())]


def compression_context(target: Target) -> Context:
    """The target as passes see it."""
    return Context(target.name, target.block, lambda model: predict_us(model, target))


def predict_us(model: ir.Model, target: Target) -> float:
    """Estimated time of a canonical model on the best single processor, the host helping out; hand-overs not counted.

    Only shapes are looked at, and `model` is not changed.
    """
    assignment = assign(fuse(model), target.block)
    totals = dict.fromkeys((p.name for p in target.processors), 0.0)
    for unit in assignment.graph:
        if unit.name in assignment.free:
            continue
        costs = {
            p.name: estimate(unit, assignment.layouts, assignment.graph, p).latency_us
            for p in target.processors
            if p.cost is not None and judge(unit, assignment.graph, p).runs
        }
        for name in totals:
            totals[name] += costs.get(name, costs.get(target.host.name, 0.0))
    return min(totals.values())
