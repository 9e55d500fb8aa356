"""compute-outputs: a graph output that is a constant gets a node that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from hetpart.errors import InternalError
from hetpart.passes.base import Pass
from hetpart.passes.edit import Editor, shape_of


@dataclass(frozen=True)
class ComputeOutputs(Pass):
    """Copies constants that are outputs of the model; a plan writes its outputs on every run.

    Before::

        const @y: f32[2]
        output @y

    After::

        const @y_1: f32[2]
        %y = Reshape(@y_1, @shape)
        output %y

    An output without elements needs no node.
    """

    name: ClassVar[str] = "compute-outputs"

    def apply(self, model: ir.Model) -> bool:
        graph = model.graph
        constants = [value for value in dict.fromkeys(graph.outputs) if value.is_initializer()]
        constants = [value for value in constants if 0 not in shape_of(value)]
        editor = Editor(graph)
        for value in constants:
            if value.const_value is None or value.name is None:
                raise InternalError("empty-initialiser", "an initialiser has no data or no name", node=value.name)
            name, tensor = value.name, value.const_value
            graph.initializers.pop(name)
            source = editor.constant(name, tensor)
            inputs = [source, editor.integers(f"{name}/shape", shape_of(value))]
            made = ir.Value(shape=value.shape, type=value.type)
            graph.append(ir.node("Reshape", inputs, {}, name=f"{name}/copy", outputs=[made]))
            for index, output in enumerate(graph.outputs):
                if output is value:
                    graph.outputs[index] = made
            value.replace_all_uses_with(source)
            value.name, made.name = None, name
        return bool(constants)
