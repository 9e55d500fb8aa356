"""An `Explanation` for people."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from hetpart.explain import Explanation, ProcessorView, UnitView
from hetpart.report.quantities import duration


def render_explanation(found: Explanation) -> Group:
    """Where the node ended up, what it reads and makes, then every processor's verdict."""
    if found.gone:
        step = "the import" if found.gone == "import" else f"pass {found.gone}"
        text = f"{found.node} runs nowhere: after {step} nothing is left of it (folded, merged or without effect)"
        return Group(Text(text))
    parts: list[RenderableType] = []
    for unit in found.units:
        parts += _unit(unit, found)
    for name, what in found.fixes:
        parts.append(Text(f"fix: {name}, {what} (hetpart check MODEL --target {found.target} --fix)"))
    return Group(*parts)


def _unit(unit: UnitView, found: Explanation) -> list[RenderableType]:
    title = Text(f"{found.node}", style="bold")
    title.append(
        f" is in unit {unit.name} ({unit.operators})" if unit.nodes != (found.node,) else f" ({unit.operators})"
    )
    lines: list[RenderableType] = [title]
    if others := [name for name in unit.nodes if name != found.node]:
        lines.append(Text(f"  with {', '.join(others)}"))
    if unit.attributes:
        lines.append(Text("  " + ", ".join(f"{name}={value}" for name, value in unit.attributes.items())))
    lines += [Text(f"  {name}: {kind}") for name, kind in unit.tensors]
    return [*lines, *(_processor(view) for view in unit.processors)]


def _processor(view: ProcessorView) -> Text:
    text = Text(f"  {view.processor}: ", style="bold")
    text.append(f"{view.level} [{view.reason}]: {view.message}")
    if view.hint:
        text.append(f"\n    hint: {view.hint}")
    if view.source:
        text.append(f"\n    source: {view.source}")
    if view.latency_us is not None:
        what = f"{view.kernel_class}, bound by {view.bound}" if view.latency_us else "a view"
        text.append(f"\n    predicted: {duration(view.latency_us)} ({what})")
    if view.shared:
        text.append(f"\n    works in shared buffers: {view.shared}")
    return text
