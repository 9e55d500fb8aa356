"""A `ProfileReport` for people: each profile's price, the operators by profile, then every obstacle once."""

from __future__ import annotations

from collections import Counter, defaultdict

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hetpart.oracle import Verdict
from hetpart.report.profiles import ProfileReport

_SHOWN_NODES = 3


def render_profiles(report: ProfileReport) -> Group:
    """A rich renderable; its length grows with the kinds of operators and obstacles, not with nodes."""
    if not report.nodes:
        return Group(Text("the model has no operators"))
    parts: list[RenderableType] = [_summaries(report), _operators(report), *_obstacles(report), *_without(report)]
    return Group(*(Padding(part, (0, 0, 1, 0), expand=False) for part in parts))


def _summaries(report: ProfileReport) -> Table:
    table = Table(
        title=f"{_count(len(report.nodes))} on target {report.target}, as other engines would run them",
        title_justify="left",
    )
    table.add_column("profile")
    for name in ("nodes without support", "of MACs", "nodes accelerated", "partitions", "MiB handed over"):
        table.add_column(name, justify="right")
    for summary in report.summaries:
        table.add_row(
            summary.profile,
            f"{summary.unsupported_share:.1%}",
            f"{summary.unsupported_mac_share:.1%}",
            f"{summary.accelerated_share:.1%}",
            str(summary.partitions),
            f"{summary.transfer_bytes / 2**20:.2f}",
        )
    return table


def _operators(report: ProfileReport) -> Table:
    """One row per operator: under each profile how many of its nodes run, by reason where not all do."""
    table = Table("operator", title="operators", title_justify="left")
    table.add_column("nodes", justify="right")
    for summary in report.summaries:
        table.add_column(summary.profile)
    nodes = Counter(node.op for node in report.nodes)
    for op, count in nodes.items():
        cells = []
        for summary in report.summaries:
            reasons = Counter(node.verdicts[summary.profile].reason for node in report.nodes if node.op == op)
            cells.append(_cell(reasons, count))
        table.add_row(op, str(count), *cells)
    return table


def _cell(reasons: Counter[str], nodes: int) -> Text:
    if reasons["ok"] == nodes:
        return Text("yes", style="green")
    parts = [f"{number} {'yes' if reason == 'ok' else reason}" for reason, number in reasons.items()]
    return Text(next(iter(reasons)) if len(reasons) == 1 else ", ".join(parts), style="red")


def _obstacles(report: ProfileReport) -> list[Text]:
    """Each obstacle of each profile once, with an example."""
    names: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    examples: dict[tuple[str, str, str], Verdict] = {}
    for summary in report.summaries:
        for node in report.nodes:
            verdict = node.verdicts[summary.profile]
            if not verdict.runs:
                op = "" if verdict.reason in ("needs-int8", "no-such-processor") else f" {node.op}"
                key = (summary.profile, verdict.reason, op)
                names[key].append(node.name)
                examples.setdefault(key, verdict)
    texts = []
    for (profile, reason, op), verdict in examples.items():
        nodes = names[profile, reason, op]
        more = f" and {len(nodes) - _SHOWN_NODES} more" if len(nodes) > _SHOWN_NODES else ""
        text = Text()
        text.append(f"{profile}:{op} {reason}", style="red")
        text.append(f" ({_count(len(nodes))}: {', '.join(nodes[:_SHOWN_NODES])}{more})\n  {verdict.message}")
        text.append(f"\n  hint: {verdict.hint}")
        texts.append(text)
    return texts


def _without(report: ProfileReport) -> list[Text]:
    return [
        Text(f"{s.profile}: the engine has no operator for {', '.join(s.without)} on any processor")
        for s in report.summaries
        if s.without
    ]


def _count(nodes: int) -> str:
    return "1 node" if nodes == 1 else f"{nodes} nodes"
