"""From ONNX nodes to the operators of an engine, as its converter makes them: mapped by name, then folded.

In a quantised model QuantizeLinear and DequantizeLinear are how ONNX writes the types of tensors: they are operators at
the model's inputs and outputs only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import onnx_ir as ir

from hetpart.oracle.profiles.conditions import violated
from hetpart.oracle.profiles.profile import Engine
from hetpart.oracle.profiles.site import Site, is_constant


@dataclass(frozen=True, eq=False)
class EngineOp:
    """One step of the engine.

    Attributes:
        nodes: the ONNX nodes it stands for: one, and what is folded into it, in order.
        operators: the engine's operators, all of which it needs; empty if the engine has none for it.
        missing: why the engine has none, as a sentence.
        quantised: the integers that its output is quantised to.
    """

    nodes: tuple[ir.Node, ...]
    operators: tuple[str, ...]
    missing: str = ""
    quantised: ir.Value | None = None

    @property
    def name(self) -> str:
        return self.nodes[0].name or self.nodes[0].op_type

    def inputs(self) -> Iterator[ir.Value]:
        """Activations that it reads, without repetition; of a dequantised one the integers."""
        inside = {id(value) for node in self.nodes for value in node.outputs}
        seen: set[int] = set()
        for node in self.nodes:
            for value in map(_integers, node.inputs):
                if value is not None and not is_constant(value) and id(value) not in inside | seen:
                    seen.add(id(value))
                    yield value

    def outputs(self) -> tuple[ir.Value, ...]:
        """Activations that it writes; of a quantised one the integers."""
        if self.quantised is not None:
            return (self.quantised,)
        return tuple(value for value in self.nodes[-1].outputs if value.name)


def convert(model: ir.Model, engine: Engine) -> list[EngineOp]:
    """The operators of an imported model, in topological order."""
    found: list[EngineOp] = []
    maker: dict[int, int] = {}  # value -> index of the operator that makes it
    for node in model.graph:
        if node.op_type == "DequantizeLinear" and not node.outputs[0].is_graph_output():
            continue
        operators, missing = _mapped(node, engine)
        index = _host(node, operators, found, maker, engine)
        if index is None:
            index = len(found)
            found.append(EngineOp((node,), operators, missing))
        elif node.op_type == "QuantizeLinear":
            found[index] = replace(found[index], quantised=node.outputs[0])
        else:
            host = found[index]
            found[index] = EngineOp((*host.nodes, node), host.operators)
        maker.update((id(value), index) for value in node.outputs)
    return found


def _integers(value: ir.Value | None) -> ir.Value | None:
    maker = None if value is None else value.producer()
    return maker.inputs[0] if maker is not None and maker.op_type == "DequantizeLinear" else value


def _mapped(node: ir.Node, engine: Engine) -> tuple[tuple[str, ...], str]:
    """(operators, "") or ((), why there are none)."""
    if node.domain not in ("", "ai.onnx"):
        return (), f"{node.domain}::{node.op_type} is not a standard ONNX operator"
    if engine.onnx is None:
        return (node.op_type,), ""
    problem = ""
    for alternative in engine.onnx.get(node.op_type, ()):
        found = next((v for condition in alternative.conditions if (v := violated(condition, Site(node)))), None)
        if found is None:
            return alternative.operators, ""
        problem = f": {found[1]}"
    return (), f"{engine.name} has no operator for this {node.op_type}{problem}"


def _host(
    node: ir.Node, operators: tuple[str, ...], found: list[EngineOp], maker: dict[int, int], engine: Engine
) -> int | None:
    """Index of the operator that `node` is folded into, or None."""
    value = node.inputs[0] if node.inputs else None
    if value is None or id(value) not in maker or len(value.uses()) != 1 or value.is_graph_output():
        return None
    if not all(other is None or is_constant(other) for other in node.inputs[1:]):
        return None
    index = maker[id(value)]
    host = found[index].operators
    if node.op_type == "QuantizeLinear":
        return index
    for fold in engine.folds:
        if node.op_type in fold.onnx and fold.only.issuperset(operators) and operators and fold.into.issuperset(host):
            return index if host else None
    return None
