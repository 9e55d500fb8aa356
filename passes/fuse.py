"""fuse: canonical model -> `UnitGraph`, the DAG of kernels-to-be.

What computes in integers is taken out first (hetpart.passes.quantised), then what only moves channels
(hetpart.passes.channels). Then three sweeps. Anchors that take an
epilogue (convolutions, products, instance norm) absorb the elementwise chain behind them, the deepest anchor first: of
two convolutions joined by a residual Add the one at the end of the longer path takes it, so that the shorter branch
stays free to run beside the longer one on another processor. What is left of the elementwise nodes forms chains of its
own. Every other node is a unit alone.

No sweep can make a cycle: a unit is a chain (or the x * sigmoid(x) diamond) whose inner values nobody else reads, so
whatever leaves it leaves from its last node, and a cycle of units would be a cycle of nodes. A channel move may end in
several nodes, but what it reads enters at its first, before all of them. For the same reason the units are in
topological order when sorted by the position of the node that makes their first output.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import replace

import onnx_ir as ir

from hetpart.errors import HetpartError, InternalError
from hetpart.graph.epilogue import Step
from hetpart.graph.units import TensorType, Unit, UnitGraph
from hetpart.passes.channels import channel_move
from hetpart.passes.edit import shape_of
from hetpart.passes.kinds import kind_of
from hetpart.passes.quantised import Match, chain, match
from hetpart.passes.steps import Draft, beginning, continuation

_IMAGE_ANCHORS = frozenset({"conv", "conv_transpose", "instance_norm"})
_ANCHORS = _IMAGE_ANCHORS | {"dense", "matmul"}


def fuse(model: ir.Model, *, epilogues: bool = True) -> UnitGraph:
    """Group the nodes of a canonical model into units, every node in exactly one.

    Args:
        model: output of the passes; it is kept in the result and not changed.
        epilogues: False leaves every node (and every pair x * sigmoid(x)) a unit of its own; not what stands between
            DequantizeLinear and QuantizeLinear, because that is how ONNX writes one operator on integers.

    Raises:
        HetpartError: ``output-not-computed``: an output is an input.
        InternalError: a node without a name, a value without static shape or dtype.
    """
    for output in model.graph.outputs:
        if output.producer() is None and not (output.is_initializer() and 0 in shape_of(output)):
            raise HetpartError(
                "output-not-computed",
                f"output '{output.name}' is an input of the model",
                node=output.name,
                hint="drop it from the model's outputs: the application has it already",
            )
    nodes = list(model.graph)
    kinds = {node: kind_of(node) for node in nodes}
    units: list[Unit] = []
    taken: set[ir.Node] = set()

    def add(unit: Unit) -> None:
        units.append(unit)
        taken.update(unit.nodes)

    def add_match(found: Match | None) -> None:
        if found is not None and taken.isdisjoint(found.nodes):
            unit = _unit(found.kind, found.nodes, found.inputs, found.drafts, (found.result,))
            add(replace(unit, quantised=found.quantised))

    zero_points: dict[ir.Value, int] = {}
    for node in nodes:
        if (found := match(node)) is not None and _one_zero_point(found, zero_points):
            add_match(found)
    if epilogues:
        for node in nodes:
            if node not in taken and (move := channel_move(node)) is not None and taken.isdisjoint(move.nodes):
                add(replace(_unit("channels", move.nodes, move.inputs, (), move.outputs), picks=move.picks))
        for node in _deepest_first(nodes):
            if node not in taken and kinds[node] in _ANCHORS:
                add(_chain(kinds[node], (node,), node.inputs, (), node.outputs[0], taken))
    for conversions in (False, True):  # what an elementwise chain does not take is a conversion by itself
        for node in nodes:
            if node not in taken and conversions == (node.op_type in ("QuantizeLinear", "DequantizeLinear")):
                add_match(chain(node))
    for node in nodes:
        if node in taken:
            continue
        start = beginning(node) if kinds[node] == "other" else None
        if start is None:
            add(_unit(kinds[node], (node,), node.inputs, (), node.outputs))
            continue
        acc, first = start
        if epilogues:
            add(_chain("eltwise", first.nodes, (acc,), first.steps, first.result, taken))
        else:
            add(_unit("eltwise", first.nodes, (acc,), first.steps, (first.result,)))
    order = {value.name: position for position, node in enumerate(nodes) for value in node.outputs}
    units.sort(key=lambda unit: min((order[value] for value in unit.outputs), default=len(nodes)))
    return UnitGraph(model, {unit.name: unit for unit in units}, _types(model.graph))


def _one_zero_point(found: Match, known: dict[ir.Value, int]) -> bool:
    """Whether a convolution reads its input under the zero point that others do: a map has one halo, which holds it."""
    scheme = found.quantised.inputs[0]
    if found.kind != "qconv" or scheme is None:
        return True
    return known.setdefault(found.inputs[0], scheme.zero_point) == scheme.zero_point


def _deepest_first(nodes: list[ir.Node]) -> list[ir.Node]:
    """By length of the longest path from an input, then by position, both descending."""
    depth: dict[ir.Node, int] = {}
    for node in nodes:  # in topological order
        makers = (value.producer() for value in node.inputs if value is not None)
        depth[node] = 1 + max((depth[maker] for maker in makers if maker is not None), default=0)
    position = {node: index for index, node in enumerate(nodes)}
    return sorted(nodes, key=lambda node: (depth[node], position[node]), reverse=True)


def _chain(
    kind: str,
    nodes: tuple[ir.Node, ...],
    inputs: Iterable[ir.Value | None],
    drafts: tuple[Draft, ...],
    acc: ir.Value,
    taken: Set[ir.Node],
) -> Unit:
    """A unit that begins with `nodes` and absorbs what follows `acc` as long as that is a step and not taken."""
    while (found := continuation(acc)) is not None:
        if not taken.isdisjoint(found.nodes) or not all(_fits(kind, draft.operand, acc) for draft in found.steps):
            break
        nodes += found.nodes
        drafts += found.steps
        acc = found.result
    return _unit(kind, nodes, inputs, drafts, (acc,))


def _fits(kind: str, operand: ir.Value | None, acc: ir.Value) -> bool:
    """Whether a kernel of this kind can read `operand` in its epilogue.

    Not if the operand is the accumulator itself (``acc - acc``); and kernels on channel blocks read only activations
    that are channel-blocked likewise: 4-D with as many channels. Constants are brought to any form at compile time.
    """
    if operand is None or operand is acc:
        return operand is None
    if kind not in _IMAGE_ANCHORS or operand.is_initializer():
        return True
    shape = shape_of(operand)
    return len(shape) == 4 and shape[1] == shape_of(acc)[1]


def _unit(
    kind: str,
    nodes: tuple[ir.Node, ...],
    inputs: Iterable[ir.Value | None],
    drafts: tuple[Draft, ...],
    outputs: Iterable[ir.Value],
) -> Unit:
    operands = list(dict.fromkeys(draft.operand for draft in drafts if draft.operand is not None))
    steps = tuple(
        Step(
            draft.op,
            draft.constants,
            None if draft.operand is None else operands.index(draft.operand),
            draft.reverse,
        )
        for draft in drafts
    )
    reads = [v for v in [*inputs, *operands] if v is not None and v.name and not v.is_initializer()]
    return Unit(
        name=_name(nodes[0]),
        kind=kind,
        nodes=nodes,
        inputs=tuple(dict.fromkeys(v.name or "" for v in reads)),
        outputs=tuple(v.name or "" for v in outputs if v.name and (v.uses() or v.is_graph_output())),
        steps=steps,
        operands=tuple(v.name or "" for v in operands),
    )


def _name(node: ir.Node) -> str:
    if not node.name:
        raise InternalError("unnamed-node", f"a {node.op_type} node has no name", node=node.outputs[0].name)
    return node.name


def _types(graph: ir.Graph) -> dict[str, TensorType]:
    values = [*graph.inputs, *graph.initializers.values(), *(v for node in graph for v in node.outputs)]
    return {value.name: _type(value) for value in values if value.name}


def _type(value: ir.Value) -> TensorType:
    if value.dtype is None:
        raise InternalError("missing-dtype", "a value has no dtype", node=value.name)
    return TensorType(shape_of(value), value.dtype.numpy().name)
