"""The oracle: every unit on every processor has a verdict, and a unit that runs nowhere is an error."""

from __future__ import annotations

from collections.abc import Iterable

from hetpart.errors import HetpartError
from hetpart.graph.units import Unit, UnitGraph
from hetpart.oracle import rules_cpu, rules_hexagon, rules_opencl
from hetpart.oracle.verdict import Rule, Subject, Verdict, first_match
from hetpart.targets.schema import Processor

RULES: dict[str, tuple[Rule, ...]] = {
    "cpu": rules_cpu.RULES,
    "opencl": rules_opencl.RULES,
    "hexagon": rules_hexagon.RULES,
}
"""The rules of each processor kind, in the order in which they are asked."""


def judge(unit: Unit, graph: UnitGraph, processor: Processor) -> Verdict:
    """Whether `unit` can run on `processor`: the first rule that applies decides, none means supported."""
    if unit.kind == "view":
        return Verdict("supported", "ok", "a view moves no data")
    verdict = first_match(RULES[processor.kind], Subject(unit, graph, processor))
    return verdict or Verdict("supported", "ok", "hetpart has a kernel for it")


def ensure_placeable(graph: UnitGraph, processors: Iterable[Processor]) -> None:
    """Check that at least one processor runs each unit.

    Raises:
        HetpartError: ``no-processor``, naming the first such node, each processor's reason and how many more there are.
    """
    processors = tuple(processors)
    stuck: list[tuple[Unit, list[Verdict]]] = []
    for unit in graph:
        verdicts = [judge(unit, graph, processor) for processor in processors]
        if not any(verdict.runs for verdict in verdicts):
            stuck.append((unit, verdicts))
    if not stuck:
        return
    unit, verdicts = stuck[0]
    reasons = "; ".join(f"{p.name}: {v.message} ({v.reason})" for p, v in zip(processors, verdicts, strict=True))
    more = f" (and {len(stuck) - 1} more nodes)" if len(stuck) > 1 else ""
    hints = dict.fromkeys(v.hint for v in verdicts if v.hint)
    raise HetpartError(
        "no-processor",
        f"no processor can run this {unit.op}{more}. {reasons}",
        node=unit.name,
        hint="; or ".join(hints) or None,
    )
