"""What passes that compress are told of the target, and what is kept of what they did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from hetpart.cost.estimate import estimate
from hetpart.graph.assign import assign
from hetpart.oracle import judge
from hetpart.passes.base import Context, Note
from hetpart.passes.fuse import fuse
from hetpart.targets import Target

NOT_EVALUATED = "accuracy not evaluated"


@dataclass(frozen=True)
class Compression:
    """What lossy passes made of a model.

    Attributes:
        model: the compressed model in canonical form: what is compiled must compute what it computes.
        notes: what the passes did.
        accuracy: what is known of the price.
    """

    model: ir.Model
    notes: tuple[Note, ...]
    accuracy: str = NOT_EVALUATED

    def to_json(self) -> dict[str, Any]:
        return {"accuracy": self.accuracy, "passes": [note.to_json() for note in self.notes]}

    def lines(self) -> list[str]:
        return [*(line for note in self.notes for line in note.lines()), self.accuracy]


def compression_context(target: Target) -> Context:
    """The target as passes see it."""
    return Context(target.name, target.block, lambda model: predict_us(model, target))


def predict_us(model: ir.Model, target: Target) -> float:
    """Estimated time of a canonical model on the best single processor, the host helping out; hand-overs not counted.

    Only shapes are looked at, and `model` is not changed.
    """
    assignment = assign(fuse(model.clone()), target.block)
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
