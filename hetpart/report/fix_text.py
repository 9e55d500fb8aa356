"""A `FixReport` for people."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hetpart.fix import FixReport, Proposal, State
from hetpart.report.quantities import duration

_SHOWN_NODES = 3


def render_fixes(report: FixReport) -> Group:
    """Every proposal with what it changes, then what all that are worth it do together, then what no fix removes."""
    processors = " and ".join(report.before.refused)
    if not any(report.before.refused.values()):
        return Group(Text(f"nothing to fix: every operator has a kernel of hetpart's own on {processors}"))
    parts: list[RenderableType] = []
    if not report.proposals:
        parts.append(Text("nothing to do: no exact rewrite removes any of the fallbacks"))
    for proposal in report.proposals:
        parts.append(_proposal(proposal, report.before))
    if report.worthwhile:
        parts += [Text(), _together(report)]
    if report.remaining:
        left = ", ".join(f"{op} ({count})" for op, count in report.remaining.items())
        parts.append(Text(f"still refused somewhere: {left}"))
    if report.output:
        parts.append(Text(f"verified: largest relative L2 error of an output {report.largest_error:.1e}, onnxruntime"))
        parts.append(Text(f"wrote {report.output}"))
    return Group(*parts)


def _proposal(proposal: Proposal, before: State) -> Text:
    count = len(proposal.nodes)
    more = f" and {count - _SHOWN_NODES} more" if count > _SHOWN_NODES else ""
    gains = ", ".join(f"{name} {gain} fewer refused" for name, gain in proposal.gains.items())
    text = Text()
    text.append(proposal.fix, style="bold")
    text.append(f": {proposal.what} ({'1 node' if count == 1 else f'{count} nodes'}: ")
    text.append(f"{', '.join(proposal.nodes[:_SHOWN_NODES])}{more})\n")
    text.append(f"  {proposal.exact}\n  gains: {gains}\n")
    text.append(f"  predicted: {_change('greedy run', before.greedy_us, proposal.after.greedy_us)}; ")
    text.append(_change("best plan", before.plan_us, proposal.after.plan_us))
    if not proposal.worthwhile:
        text.append("\n  left out: the best plan would get longer", style="yellow")
    return text


def _change(what: str, before: int | None, after: int | None) -> str:
    if before is None:
        return f"{what} {'none' if after is None else duration(after)}, none before"
    return f"{what} {duration(before)} -> {'none' if after is None else duration(after)}"


def _together(report: FixReport) -> Table:
    table = Table(
        "", "before", "after", title="with all fixes that are worth it (times predicted)", title_justify="left"
    )
    for name, count in report.before.refused.items():
        table.add_row(f"refused by {name}", str(count), str(report.after.refused[name]))
    for what, before, after in (
        ("greedy run", report.before.greedy_us, report.after.greedy_us),
        ("best plan", report.before.plan_us, report.after.plan_us),
    ):
        table.add_row(what, *("none" if us is None else duration(us) for us in (before, after)))
    return table
