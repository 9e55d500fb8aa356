"""One target, explained for people: all that its file states, with the comment that says where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hetpart.targets.schema import HALF_CLASSES, INT8_CLASSES, Cache, Cluster, KernelLaw, Processor, Target

_ABOUT = ("name", "title", "kind", "processors", "links")


def print_target(target: Target, sources: Mapping[str, str], console: Console) -> None:
    """Prints the target, its processors and its links.

    Args:
        target: what to explain; the costs are estimates.
        sources: where its figures come from, see `hetpart.targets.sources`.
        console: where to print.
    """
    console.print(Text.assemble((target.name, "bold"), f": {target.title}"))
    _note(sources.get(""), console)
    _print_rows(_rows(target, "", sources), console)
    for processor in target.processors:
        _print_processor(processor, sources, console)
    for index, link in enumerate(target.links):
        console.print(Text(f"link from {link.source} to {link.target} (estimated)", style="bold"))
        _note(sources.get(f"links[{index}]"), console)
        _print_rows(_rows(link, f"links[{index}]", sources, besides=("source", "target")), console)


def _print_processor(processor: Processor, sources: Mapping[str, str], console: Console) -> None:
    path = f"processors.{processor.name}"
    console.print(Text.assemble((processor.name, "bold"), f" ({processor.kind}): {processor.title}"))
    _note(sources.get(path), console)
    _print_rows(_rows(processor, path, sources, besides=("codegen", "cost")), console)
    console.print("  code generation")
    _note(sources.get(f"{path}.codegen"), console)
    _print_rows(_rows(processor.codegen, f"{path}.codegen", sources), console)
    if processor.cost is None:
        console.print("  no code is emitted for it yet\n")
        return
    roof = "the share of the peak, or of the bandwidth, that kernels reach"
    law = "the share of the speed of the kernels that law names, of generic ones as without a law"
    console.print(f"  estimated costs; efficiency: {roof if processor.cost.law is None else law}")
    _note(sources.get(f"{path}.cost"), console)
    _print_rows(_rows(processor.cost, f"{path}.cost", sources), console)


Row = tuple[str, str, str]
"""Key, value, source."""


def _rows(thing: Any, path: str, sources: Mapping[str, str], besides: tuple[str, ...] = ()) -> Iterator[Row]:
    """The fields of a dataclass that are set or commented on; those of mappings one by one."""
    for field in fields(thing):
        if field.name in (*_ABOUT, *besides):
            continue
        value = getattr(thing, field.name)
        here = f"{path}.{field.name}" if path else field.name
        if isinstance(value, Mapping):
            prefix = "" if field.name == "facts" else f"{field.name} "
            for key, inner in value.items():
                yield prefix + key, _words(inner), sources.get(f"{here}.{key}") or _derived(key)
        elif isinstance(value, KernelLaw):
            yield from ((f"law {key}", words, source) for key, words, source in _rows(value, here, sources))
        elif (here in sources or value != field.default) and value != ():
            yield field.name, _words(value), sources.get(here) or sources.get(f"{here}_per_lane", "")


def _derived(key: str) -> str:
    classes = INT8_CLASSES | HALF_CLASSES
    return f"as {classes[key]}, unless stated" if key in classes else ""


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Cluster):
        return f"{value.cores} x {value.name} at {value.clock_mhz} MHz"
    if isinstance(value, Cache):
        return f"{value.size_bytes} bytes at {value.gb_per_s:g} GB/s"
    if is_dataclass(value):
        return ", ".join(f"{field.name} {_words(getattr(value, field.name))}" for field in fields(value))
    if isinstance(value, tuple):
        return ", ".join(map(_words, value))
    return str(value)


def _note(text: str | None, console: Console) -> None:
    if text:
        console.print(Padding(Text(text, style="dim"), (0, 0, 0, 2), expand=False))


def _print_rows(rows: Iterator[Row], console: Console) -> None:
    """A table; what is longer than its column is wrapped."""
    table = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    table.add_column(no_wrap=True)
    table.add_column(ratio=2)
    table.add_column(ratio=3, style="dim")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    console.print()
