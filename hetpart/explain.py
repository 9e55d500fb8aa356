"""All that hetpart knows of one ONNX node on a target: where it ended up, each processor's verdict and its source."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from hetpart.compiler import Assessment, Model, Options, assess, prepare
from hetpart.errors import HetpartError
from hetpart.fix import propose
from hetpart.frontend import import_model
from hetpart.graph.layout import Blocked, Layout
from hetpart.graph.units import Unit
from hetpart.passes.pipeline import PassRecord
from hetpart.phases import Phases
from hetpart.targets import Target
from hetpart.targets.schema import OpenclCodegen, Processor


@dataclass(frozen=True)
class ProcessorView:
    """A unit on one processor.

    Attributes:
        processor: its name.
        level, reason, message, hint: the verdict.
        source: where the fact behind the verdict comes from; empty if no rule decided.
        latency_us: predicted, launch included; None where it cannot run.
        bound: what dominates that time; `kernel_class`: whose efficiency was applied.
        shared: why it works on shared buffers, on a processor with private memory; else empty.
    """

    processor: str
    level: str
    reason: str
    message: str
    hint: str
    source: str
    latency_us: float | None
    bound: str
    kernel_class: str
    shared: str


@dataclass(frozen=True)
class UnitView:
    """A unit that holds (part of) the node.

    Attributes:
        name, operators: of the unit; `nodes`: all ONNX nodes in it.
        attributes: of its first node, as text.
        tensors: name, dtype, shape and layout of what it reads and makes, constants of the first node included.
        processors: one view each, in the target's order.
    """

    name: str
    operators: str
    nodes: tuple[str, ...]
    attributes: dict[str, str]
    tensors: tuple[tuple[str, str], ...]
    processors: tuple[ProcessorView, ...]


@dataclass(frozen=True)
class Explanation:
    """The answer about a node.

    Attributes:
        node, target: what was asked.
        units: where it ended up; empty if a pass removed it.
        gone: after which step it was no longer there (``import`` or a pass); empty if it still is.
        fixes: names of exact rewrites that would help it, with what they do.
    """

    node: str
    target: str
    units: tuple[UnitView, ...]
    gone: str
    fixes: tuple[tuple[str, str], ...]

    @property
    def exit_code(self) -> int:
        """2 if a unit of it runs nowhere, 1 if it is not supported on any accelerator, else 0."""
        levels = [[view.level for view in unit.processors] for unit in self.units]
        if any(set(found) == {"unsupported"} for found in levels):
            return 2
        return int(any("supported" not in found[1:] for found in levels))

    def to_json(self) -> dict[str, Any]:
        return {"schema": 1, **asdict(self)}


def explain(
    source: Model,
    target: Target,
    node: str,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
) -> Explanation:
    """What became of ONNX node `node` and what each processor says to it.

    A node that was decomposed is found in all nodes that were made of it (``NAME/Op``).

    Raises:
        HetpartError: ``unknown-node`` with the closest names, or what `import_model` raises.
    """
    stages: list[tuple[str, frozenset[str]]] = []

    def note(record: PassRecord, model: ir.Model) -> None:
        stages.append((record.name, _names(model)))

    imported = import_model(source, shapes=shapes, dims=dims)
    stages.append(("import", _names(imported)))
    graph, _ = prepare(source, Options(shapes=shapes or {}, dims=dims or {}, on_pass=note), Phases())
    found = assess(graph, target, Phases())
    units = [unit for unit in found.assignment.graph if any(_is_of(other.name or "", node) for other in unit.nodes)]
    if not units:
        return Explanation(node, target.name, (), _gone_after(source, node, stages), ())
    views = tuple(_view(unit, found, target) for unit in units)
    improvable = any(p.level != "supported" for view in views for p in view.processors if _emitted(target, p.processor))
    fixes = _fixes(source, target, node, shapes, dims) if improvable else ()
    return Explanation(node, target.name, views, "", fixes)


def _emitted(target: Target, processor: str) -> bool:
    """Whether hetpart emits code for the processor at all."""
    return target.processor(processor).cost is not None


def _names(model: ir.Model) -> frozenset[str]:
    return frozenset(node.name or "" for node in model.graph)


def _is_of(name: str, node: str) -> bool:
    return name == node or name.startswith(node + "/")


def _gone_after(source: Model, node: str, stages: Sequence[tuple[str, frozenset[str]]]) -> str:
    """The first step after which no node of that name is left."""
    original = _original_names(source) | stages[0][1]
    if not any(_is_of(name, node) for name in original):
        close = difflib.get_close_matches(node, sorted(original), n=3)
        hint = f"did you mean {', '.join(close)}?" if close else "hetpart check MODEL --json lists the nodes"
        raise HetpartError("unknown-node", f"the model has no node '{node}'", hint=hint)
    return next(name for name, names in stages if not any(_is_of(other, node) for other in names))


def _original_names(source: Model) -> frozenset[str]:
    if isinstance(source, ir.Model):
        return _names(source)
    if isinstance(source, str | Path):
        source = onnx.load(source, load_external_data=False)
    return frozenset(node.name for node in source.graph.node if node.name)


def _view(unit: Unit, found: Assessment, target: Target) -> UnitView:
    graph, layouts = found.assignment.graph, found.assignment.layouts
    tensors = []
    for role, names in (("reads", unit.inputs), ("makes", unit.outputs)):
        for name in names:
            kind = graph.types[name]
            layout = layouts.get(name)
            tensors.append((f"{role} {name}", f"{kind.dtype} {list(kind.shape)}, {_words(layout)}"))
    first = unit.nodes[0] if unit.nodes else None
    for value in first.inputs if first is not None else ():
        if value is not None and value.is_initializer() and value.shape is not None:
            tensors.append((f"constant {value.name}", f"{value.dtype} {list(value.shape.numpy())}"))
    processors = []
    for processor in target.processors:
        verdict = found.verdicts[unit.name][processor.name]
        cost = found.costs.get(unit.name, {}).get(processor.name)
        processors.append(
            ProcessorView(
                processor=processor.name,
                level=verdict.level,
                reason=verdict.reason,
                message=verdict.message,
                hint=verdict.hint,
                source=verdict.rule.source if verdict.rule is not None else "",
                latency_us=None if cost is None else round(cost.latency_us, 1),
                bound="" if cost is None else cost.bound,
                kernel_class="" if cost is None else cost.kernel_class,
                shared=_shared(found, unit, processor),
            )
        )
    attributes = {} if first is None else {a.name: str(a.value) for a in first.attributes.values()}
    nodes = tuple(other.name or "" for other in unit.nodes)
    return UnitView(unit.name, unit.op, nodes, attributes, tuple(tensors), tuple(processors))


def _words(layout: Layout | None) -> str:
    """A layout in short."""
    if not isinstance(layout, Blocked):
        return "row-major"
    halo = (layout.halo.top, layout.halo.left, layout.halo.bottom, layout.halo.right)
    border = f", border {' '.join(map(str, halo))} (top, left, bottom, right)" if any(halo) else ""
    return f"channels in blocks of {layout.block}{border}"


def _shared(found: Assessment, unit: Unit, processor: Processor) -> str:
    private = isinstance(processor.codegen, OpenclCodegen) and processor.codegen.private
    runs = found.verdicts[unit.name][processor.name].runs
    return found.shared.get(unit.name, {}).get(processor.name, "") if private and runs else ""


def _fixes(
    source: Model,
    target: Target,
    node: str,
    shapes: Mapping[str, Sequence[int]] | None,
    dims: Mapping[str, int] | None,
) -> tuple[tuple[str, str], ...]:
    report, _ = propose(source, target, shapes=shapes, dims=dims)
    return tuple(
        (proposal.fix, proposal.what)
        for proposal in report.proposals
        if any(_is_of(name, node) for name in proposal.nodes)
    )
