"""The oracle: every unit on every processor has a verdict, and a unit that runs nowhere is an error."""

from __future__ import annotations

from collections.abc import Mapping

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

_EMITTED = frozenset({"cpu", "opencl"})
"""Processor kinds that hetpart generates code for: a view of what lies there is free."""


def judge(unit: Unit, graph: UnitGraph, processor: Processor) -> Verdict:
    """Whether `unit` can run on `processor`: the first rule that applies decides, none means supported."""
    if unit.kind == "view" and processor.kind in _EMITTED:
        return Verdict("supported", "ok", "a view moves no data")
    verdict = first_match(RULES[processor.kind], Subject(unit, graph, processor))
    return verdict or Verdict("supported", "ok", "hetpart has a kernel for it")


def ensure_placeable(unit: Unit, verdicts: Mapping[str, Verdict]) -> None:
    """Check that at least one processor runs `unit`; `verdicts` are by processor name.

    Raises:
        HetpartError: ``no-processor``, naming the node and each processor's reason.
    """
    if any(verdict.runs for verdict in verdicts.values()):
        return
    reasons = "; ".join(f"{name}: {verdict.message} ({verdict.reason})" for name, verdict in verdicts.items())
    hints = dict.fromkeys(verdict.hint for verdict in verdicts.values() if verdict.hint)
    raise HetpartError(
        "no-processor",
        f"no processor can run this {unit.op}. {reasons}",
        node=unit.name,
        hint="; or ".join(hints) or None,
    )
