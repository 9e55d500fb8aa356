"""A bundle's manifest for people: what it is, what was decided, what runs where, what its parts weigh."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hetpart.bundle.manifest import FileInfo, Manifest, NodePlacement, TensorInfo

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
    table = _table("plan", "predicted ms", "arena MB", "processors", numbers=(1, 2))
    for variant, plan in manifest.plans.items():
        processors = (f"{name} ({manifest.processors[name].kind})" for name in plan.processors)
        _row(table, variant, f"{plan.predicted_us / 1e3:.2f}", f"{plan.arena_bytes / 1e6:.2f}", ", ".join(processors))
    return table


def _print_decision(manifest: Manifest, console: Console) -> None:
    decision = manifest.decision
    if not decision:
        console.print("the manifest does not say how the placement came about")
        return
    console.print(
        Text(
            f"strategy {decision['strategy']}: {decision['status']}, predicted {decision['makespan_us'] / 1e3:.2f} ms, "
            f"lower bound {decision['lower_bound_us'] / 1e3:.2f} ms; times are {' and '.join(decision['origin'])}"
        )
    )
    for name, latency_us in decision["baselines_us"].items():
        console.print(Text(f"  {name:<5} {latency_us / 1e3:10.2f} ms"))


def _shares(placement: Sequence[NodePlacement]) -> Table:
    """Nodes, units and predicted time by processor, in the order of first use."""
    units = {node.unit: node for node in placement}
    table = _table("processor", "nodes", "units", "busy ms (predicted)", numbers=(1, 2, 3))
    for processor in dict.fromkeys(node.processor for node in placement):
        there = [node for node in units.values() if node.processor == processor]
        nodes = sum(node.processor == processor for node in placement)
        busy_us = sum(node.predicted_us for node in there)
        _row(table, processor, str(nodes), str(len(there)), f"{busy_us / 1e3:.2f}")
    return table


def _placement(placement: Iterable[NodePlacement]) -> Table:
    table = _table("node", "unit", "runs on", "starts at us", "us", numbers=(3, 4))
    for node in placement:
        _row(table, node.node, node.unit, node.processor, str(node.start_us), str(node.predicted_us))
    return table


def _parts(files: Iterable[tuple[str, FileInfo]]) -> Table:
    """Every part but the runtime's sources, which share one row."""
    table = _table("part", "bytes", "sha256", numbers=(1,))
    sources = [info.size for name, info in files if name.startswith(_RUNTIME_SOURCES)]
    for name, info in files:
        if not name.startswith(_RUNTIME_SOURCES):
            _row(table, name, str(info.size), info.sha256[:16])
    _row(table, f"sources of the runtime ({len(sources)} files)", str(sum(sources)), "")
    return table
