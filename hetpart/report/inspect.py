"""A bundle's manifest for people: what it is, what was decided, what runs where, what its parts weigh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hetpart.bundle.digest import FileInfo
from hetpart.bundle.manifest import Manifest, NodePlacement, TensorInfo
from hetpart.report.quantities import duration, size

_RUNTIME_SOURCES = ("runtime/", "include/")


def print_manifest(manifest: Manifest, console: Console) -> None:
    """Everything that the manifest says; its length grows with the number of nodes."""
    tools = ", ".join(f"{name} {version}" for name, version in manifest.tools.items())
    console.print(Text(f"{manifest.model} for target {manifest.target}", style="bold"))
    console.print(Text(f"bundle schema {manifest.schema}, written by {tools}"))
    console.print()
    console.print(_ports("input", manifest.inputs))
    console.print(_ports("output", manifest.outputs))
    console.print()
    console.print(_plans(manifest))
    console.print()
    _print_decision(manifest, console)
    if manifest.placement:
        console.print()
        console.print(_shares(manifest.placement))
        console.print()
        console.print(_placement(manifest.placement))
    console.print()
    console.print(_parts(manifest.files.items()))


def _table(*headers: str, numbers: Sequence[int] = ()) -> Table:
    """A plain table; columns `numbers` are right-aligned."""
    table = Table(*headers, box=None, header_style="bold", pad_edge=False)
    for index in numbers:
        table.columns[index].justify = "right"
    return table


def _row(table: Table, *cells: str) -> None:
    """Adds a row of plain texts: names may contain what rich takes for markup."""
    table.add_row(*(Text(cell) for cell in cells))


def _ports(role: str, ports: Iterable[TensorInfo]) -> Text:
    return Text("\n").join(Text(f"{role} {port.name}: {port.dtype}{list(port.shape)}") for port in ports)


def _plans(manifest: Manifest) -> Table:
    table = _table("plan", "predicted", "arena", "processors", numbers=(1, 2))
    for variant, plan in sorted(manifest.plans.items(), key=lambda item: item[0] != "main"):
        processors = (f"{name} ({manifest.processors[name].kind})" for name in plan.processors)
        _row(table, variant, duration(plan.predicted_us), size(plan.arena_bytes), ", ".join(processors))
    return table


def _print_decision(manifest: Manifest, console: Console) -> None:
    decision = manifest.decision
    if not decision:
        console.print("the manifest does not say how the placement came about")
        return
    makespan_us, bound_us = decision["makespan_us"], decision["lower_bound_us"]
    alone_us = decision.get("uncontended_us", makespan_us)
    gap = 1 - bound_us / alone_us if alone_us else 0.0
    text = f"strategy {decision['strategy']}, {decision['status']}: predicted {duration(makespan_us)}, "
    if (precision := decision.get("precision", "fp32")) != "fp32":
        text = f"precision {precision}, {text}"
    if alone_us != makespan_us:
        text += f"{duration(alone_us)} without contention, "
    text += f"lower bound {duration(bound_us)}, gap {gap:.1%}; {_origin(decision)}"
    console.print(Text(text))
    for name, latency_us in decision["baselines_us"].items():
        console.print(Text(f"  {name:<5} {duration(latency_us):>10}"))


def _origin(decision: Mapping[str, Any]) -> str:
    measured = decision.get("measured")
    if not measured or not measured["here"]:
        return f"times are {' and '.join(decision['origin'])}"
    return f"times of {measured['here']} of {measured['units']} units are measured"


def _shares(placement: Sequence[NodePlacement]) -> Table:
    """Nodes, units and predicted time by processor, in the order of first use."""
    units = {node.unit: node for node in placement}
    table = _table("processor", "nodes", "units", "busy (predicted)", numbers=(1, 2, 3))
    for processor in dict.fromkeys(node.processor for node in placement):
        there = [node for node in units.values() if node.processor == processor]
        nodes = sum(node.processor == processor for node in placement)
        busy_us = sum(node.predicted_us for node in there)
        _row(table, processor, str(nodes), str(len(there)), duration(busy_us))
    return table


def _placement(placement: Iterable[NodePlacement]) -> Table:
    table = _table("node", "unit", "runs on", "starts at us", "us", numbers=(3, 4))
    for node in placement:
        _row(table, node.node, node.unit, node.processor, str(node.start_us), str(node.predicted_us))
    return table


def _parts(files: Iterable[tuple[str, FileInfo]]) -> Table:
    """Every part but the runtime's sources, which share one row."""
    table = _table("part", "size", "xxh64", numbers=(1,))
    sources = [info.size for name, info in files if name.startswith(_RUNTIME_SOURCES)]
    for name, info in files:
        if not name.startswith(_RUNTIME_SOURCES):
            _row(table, name, size(info.size), info.xxh64)
    _row(table, f"sources of the runtime ({len(sources)} files)", size(sum(sources)), "")
    return table
