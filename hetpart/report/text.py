"""A `CheckReport` for people: what runs where by operator, then every reason once, then the price of falling back."""

from __future__ import annotations

from collections import Counter, defaultdict

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hetpart.fallback import Fallback
from hetpart.oracle import Verdict
from hetpart.report.check import CheckReport, NodeCheck
from hetpart.report.quantities import duration

_STYLE = {"supported": "green", "degraded": "yellow", "unsupported": "red"}
_SHOWN_NODES = 3


def render_check(report: CheckReport) -> Group:
    """A rich renderable; readable at 100 columns, its length grows with the kinds of operators, not with nodes."""
    if not report.nodes:
        return Group(Text("the model has no operators"))
    parts: list[RenderableType] = [_operators(report), _summary(report), *_reasons(report), _greedy(report)]
    if report.fallbacks.each:
        parts += [_fallbacks(report), _without(report)]
    return Group(*(Padding(part, (0, 0, 1, 0), expand=False) for part in parts))


def _operators(report: CheckReport) -> Table:
    """One row per operator and set of verdicts, in the order of first appearance."""
    table = Table(title=f"{_count(len(report.nodes))} on target {report.target}", title_justify="left")
    table.add_column("operator")
    table.add_column("nodes", justify="right")
    table.add_column("MACs", justify="right")
    for processor in report.processors:
        table.add_column(processor)
    total_macs = sum(node.macs for node in report.nodes)
    counts: Counter[tuple[str, tuple[Verdict, ...]]] = Counter()
    macs: Counter[tuple[str, tuple[Verdict, ...]]] = Counter()
    verdicts: dict[tuple[str, tuple[str, ...]], tuple[str, tuple[Verdict, ...]]] = {}
    for node in report.nodes:
        reasons = tuple(verdict.reason for verdict in node.verdicts.values())
        key = verdicts.setdefault((node.op, reasons), (node.op, tuple(node.verdicts.values())))
        counts[key] += 1
        macs[key] += node.macs
    for key in verdicts.values():
        share = f"{macs[key] / total_macs:.1%}" if macs[key] else ""
        cells = (Text("yes" if v.reason == "ok" else v.reason, style=_STYLE[v.level]) for v in key[1])
        table.add_row(key[0], str(counts[key]), share, *cells)
    return table


def _summary(report: CheckReport) -> Table:
    table = Table(title="cannot run", title_justify="left")
    table.add_column("processor")
    table.add_column("of nodes", justify="right")
    table.add_column("of MACs", justify="right")
    for processor in report.processors:
        nodes, macs = report.unsupported_share(processor), report.unsupported_mac_share(processor)
        table.add_row(processor, f"{nodes:.1%}", f"{macs:.1%}")
    return table


def _reasons(report: CheckReport) -> list[Text]:
    """Each reason of each processor once, with an example and some of the nodes it concerns."""
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    examples: dict[tuple[str, str], Verdict] = {}
    for node in report.nodes:
        for processor, verdict in node.verdicts.items():
            if verdict.level != "supported":
                names[processor, verdict.reason].append(node.name)
                examples.setdefault((processor, verdict.reason), verdict)
    texts = []
    for (processor, reason), verdict in examples.items():
        nodes = names[processor, reason]
        more = f" and {len(nodes) - _SHOWN_NODES} more" if len(nodes) > _SHOWN_NODES else ""
        text = Text()
        text.append(f"{processor}: {reason}", style=_STYLE[verdict.level])
        text.append(f" ({_count(len(nodes))}: {', '.join(nodes[:_SHOWN_NODES])}{more})\n  {verdict.message}")
        if verdict.hint:
            text.append(f"\n  hint: {verdict.hint}")
        texts.append(text)
    return texts


def _count(nodes: int) -> str:
    return "1 node" if nodes == 1 else f"{nodes} nodes"


def _greedy(report: CheckReport) -> Text:
    partitions = "1 partition" if report.partitions == 1 else f"{report.partitions} partitions"
    return Text(
        f"With every node on the first accelerator that runs it: {partitions}, "
        f"{report.transfer_bytes / 2**20:.2f} MiB handed over per inference."
    )


def _fallbacks(report: CheckReport) -> Table:
    """One row per set of operators that leave an accelerator together, the costliest first."""
    table = Table(title="what leaving an accelerator costs, predicted", title_justify="left")
    table.add_column("leaves")
    table.add_column("operators")
    for column in ("times", "work us", "hand-overs", "MiB", "taking us", "idle us", "longer us"):
        table.add_column(column, justify="right")
    table.add_column("worst")
    nodes: dict[str, list[NodeCheck]] = defaultdict(list)
    for node in report.nodes:
        nodes[node.unit].append(node)
    rows: dict[tuple[str, str], list[Fallback]] = defaultdict(list)
    for each in report.fallbacks.each:
        operators = Counter(node.op for unit in each.units for node in nodes[unit])
        named = ", ".join(op if count == 1 else f"{op} x{count}" for op, count in operators.items())
        rows[each.accelerator, named or "layout change"].append(each)
    for (accelerator, named), group in sorted(rows.items(), key=lambda row: -sum(f.added_us for f in row[1])):
        worst = max(group, key=lambda each: each.added_us)
        sums = [sum(getattr(each, name) for each in group) for name in _SUMMED]
        mib = max(0, sum(each.transfer_bytes for each in group)) / 2**20  # a few bytes less, where an output moves
        cells = [str(sums[0]), str(sums[1]), f"{mib:.2f}", *map(str, sums[2:])]
        table.add_row(accelerator, named, str(len(group)), *cells, worst.units[0])
    return table


_SUMMED = ("work_us", "transfers", "transfer_us", "idle_us", "added_us")


def _without(report: CheckReport) -> Text:
    found = report.fallbacks
    return Text(
        f"A run so placed takes {duration(found.greedy_us)}, and {duration(found.without_us)} if nothing fell back and "
        "the accelerator took\nas long for that work as the CPU. Negative: the CPU works beside the accelerator."
    )
