"""Proposes rewrites that keep operators on an accelerator, and says what each would change.

Every fix of `hetpart.passes.fix.FIXES` is tried alone, on the nodes that some processor runs badly or not at all. It is
proposed if that leaves fewer such units on some processor and more on none. Its price is predicted twice: for the run
as most runtimes place it (see hetpart.fallback), and for hetpart's best plan. A fix is worth it if the best plan does
not get longer; without a plan before, because something ran nowhere, any plan is better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import onnx_ir as ir

from hetpart.compiler import Model, assess
from hetpart.fallback import price_fallbacks
from hetpart.formulate import formulate
from hetpart.frontend import import_model
from hetpart.partition import solve_all
from hetpart.passes.fix import FIXES, apply_fixes
from hetpart.passes.fuse import fuse
from hetpart.passes.pipeline import optimisation_level, parse_pipeline, run_pipeline
from hetpart.phases import Phases
from hetpart.targets import Target

_BASE = "fold-constants,decompose,fold-constants,dce"
"""What runs before a fix: it then meets what operators without any kernel decompose into, not these operators."""


@dataclass(frozen=True)
class State:
    """A model as a target takes it; times are predicted, in microseconds.

    Attributes:
        refused: per processor that hetpart emits code for, how many units do not run there, or run badly.
        operators: types and names of the ONNX nodes in these units.
        greedy_us: a run with every unit on the first accelerator that runs it; 0 if no accelerator runs any.
        plan_us: hetpart's best plan; None if a unit runs nowhere.
    """

    refused: dict[str, int]
    operators: dict[str, str]
    greedy_us: int
    plan_us: int | None


@dataclass(frozen=True)
class Proposal:
    """One fix, applied alone.

    Attributes:
        fix: name, see `FIXES`; `what` it does, and in which sense it is `exact`.
        nodes: the nodes that it rewrites.
        gains: per processor that gains, how many units fewer are refused there.
        after: the model with this fix.
        worthwhile: whether the best plan gets no longer.
    """

    fix: str
    what: str
    exact: str
    nodes: tuple[str, ...]
    gains: dict[str, int]
    after: State
    worthwhile: bool


@dataclass
class FixReport:
    """All proposals; `after` is the model with those that are worth it. `remaining` counts refused operators then."""

    target: str
    before: State
    proposals: tuple[Proposal, ...]
    after: State
    remaining: dict[str, int]
    output: str = ""
    largest_error: float | None = None

    @property
    def worthwhile(self) -> tuple[Proposal, ...]:
        return tuple(proposal for proposal in self.proposals if proposal.worthwhile)

    def to_json(self) -> dict[str, Any]:
        return {"schema": 1, **asdict(self)}


def propose(
    source: Model,
    target: Target,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
) -> tuple[FixReport, ir.Model]:
    """The report, and the model with all fixes that are worth it, at hetpart's opset and with pinned shapes.

    Raises:
        HetpartError: what `import_model` raises.
    """
    base = import_model(source, shapes=shapes, dims=dims)
    run_pipeline(base, parse_pipeline(_BASE))
    before = _state(base, target)
    names = frozenset(before.operators)
    proposals = []
    for fix in FIXES.values():
        trial = base.clone()
        nodes = apply_fixes(trial, [fix.name], names).get(fix.name)
        if not nodes:
            continue
        after = _state(trial, target)
        gains = {name: count - after.refused[name] for name, count in before.refused.items()}
        if any(gain > 0 for gain in gains.values()) and min(gains.values()) >= 0:
            gained = {name: gain for name, gain in gains.items() if gain}
            worthwhile = after.plan_us is not None and (before.plan_us is None or after.plan_us <= before.plan_us)
            proposals.append(Proposal(fix.name, fix.what, fix.exact, tuple(nodes), gained, after, worthwhile))
    fixed = base.clone()
    apply_fixes(fixed, [proposal.fix for proposal in proposals if proposal.worthwhile], names)
    after = _state(fixed, target) if any(proposal.worthwhile for proposal in proposals) else before
    remaining = dict(Counter(after.operators.values()))
    return FixReport(target.name, before, tuple(proposals), after, remaining), fixed


def _state(model: ir.Model, target: Target) -> State:
    """`model` is not changed."""
    compiled = model.clone()
    run_pipeline(compiled, optimisation_level("O1"))
    found = assess(fuse(compiled), target, Phases())
    emitted = [p.name for p in target.processors if p.cost is not None]
    refused = dict.fromkeys(emitted, 0)
    operators: dict[str, str] = {}
    for unit in found.assignment.graph:
        levels = {name: found.verdicts[unit.name][name].level for name in emitted}
        for name, level in levels.items():
            refused[name] += level != "supported"
        if set(levels.values()) - {"supported"}:
            operators |= {node.name or "": node.op_type for node in unit.nodes}
    plan_us = None
    if all(found.costs.values()):
        plan_us = solve_all(formulate(found.assignment, target, found.costs, found.shared)).placement.makespan_us
    return State(refused, operators, price_fallbacks(found, target).greedy_us, plan_us)
