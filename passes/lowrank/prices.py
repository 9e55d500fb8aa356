"""What splitting layers saves on the target, by prediction."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from hetpart.passes.base import Context
from hetpart.passes.edit import Editor
from hetpart.passes.lowrank.candidates import Candidate
from hetpart.passes.lowrank.surgery import substitute


class Prices:
    """Predicted microseconds that splitting layers saves, against the model as it is.

    Attributes:
        before_us: predicted time of the model; None without a target.
    """

    def __init__(self, model: ir.Model, context: Context) -> None:
        self.target = context.target
        self._model, self._predict = model, context.predict_us
        self.before_us = None if self._predict is None else self._predict(model)

    def saved_us(self, chosen: Iterable[Candidate]) -> float | None:
        """By all of `chosen` together; None without a target."""
        if self._predict is None or self.before_us is None:
            return None
        probe = self._model.clone()
        editor, nodes = Editor(probe.graph), {node.name: node for node in probe.graph}
        for candidate in chosen:
            substitute(editor, nodes[candidate.layer.name], candidate.factors)
        return self.before_us - self._predict(probe)
