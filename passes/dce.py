"""dce: removes nodes and initialisers that no graph output depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from hetpart.passes.base import Pass


def remove_dead_code(model: ir.Model) -> bool:
    """Remove unread nodes, optional outputs and initialisers; True if there were any."""
    outputs_before = sum(len(node.outputs) for node in model.graph)
    removed = RemoveUnusedNodesPass()(model).modified
    return removed or sum(len(node.outputs) for node in model.graph) != outputs_before


@dataclass(frozen=True)
class DeadCodeElimination(Pass):
    """Removes what is computed in vain, unread optional outputs included.

    Before::

        %a = Relu(%x)
        %b, %mask = MaxPool(%x)      # %mask is not read
        output %b

    After::

        %b = MaxPool(%x)
        output %b
    """

    name: ClassVar[str] = "dce"

    def apply(self, model: ir.Model) -> bool:
        return remove_dead_code(model)
