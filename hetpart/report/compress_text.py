"""A `CompressReport` for people."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hetpart.compression.compress import CompressReport
from hetpart.report.quantities import count, duration, size


def render_compression(report: CompressReport, *, explain: bool = False) -> Group:
    """Size and predicted time after every pass, what each did, and what is known of the accuracy.

    With `explain`, all that the passes have to say instead of a summary.
    """
    parts: list[RenderableType] = [_stages(report), Text()]
    parts += map(Text, report.compression.lines(explain=explain))
    if report.refused:
        parts.append(Text(report.refused, style="yellow"))
    if report.output:
        parts.append(Text(f"wrote {report.output} ({size(report.output_bytes)}); seconds: {report.seconds:.1f}"))
    return Group(*parts)


def _stages(report: CompressReport) -> Table:
    headings = ("", "parameters", "MACs", f"predicted on {report.target}")
    table = Table(*headings, box=None, header_style="bold", pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for stage in report.stages:
        sizes = (count(stage.size.parameters), count(stage.size.macs))
        table.add_row(Text(stage.name), *sizes, duration(stage.predicted_us))
    first, last = report.stages[0], report.stages[-1]
    pairs = (
        (first.size.parameters, last.size.parameters),
        (first.size.macs, last.size.macs),
        (first.predicted_us, last.predicted_us),
    )
    table.add_row("change", *(f"{100 * (after / before - 1):+.1f} %" if before else "" for before, after in pairs))
    return table
