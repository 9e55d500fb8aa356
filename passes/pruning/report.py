"""What prune-channels has to say: every group, what ties it together, what goes, and why the rest stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hetpart.passes.base import Context, Pass
from hetpart.passes.pruning.allocate import Decision
from hetpart.passes.pruning.labels import Role


@dataclass(frozen=True)
class GroupNote:
    """A group of channels that can only be removed together.

    Attributes:
        name: the node that makes them, the first if several do.
        channels: of the group; each stands for `copies` channels of the layer (heads, groups of a convolution).
        copies: see there.
        kept: channels that stay.
        reason: why none goes, or None.
        gain_us: estimated time that the target saves if this group alone is pruned; None without a target.
        makers: nodes whose output channels they are; `readers`: nodes whose weights read them.
        tied_by: nodes that tie several layers' channels to each other, as ``name (operator)``.
    """

    name: str
    channels: int
    copies: int
    kept: int
    reason: str | None
    gain_us: float | None
    makers: tuple[str, ...]
    readers: tuple[str, ...]
    tied_by: tuple[str, ...]

    def explain(self) -> list[str]:
        """What becomes of the group and why, who makes and reads it, and what ties the layers that make it."""
        copies = f", each {self.copies} of the layer's" if self.copies > 1 else ""
        if self.reason is not None:
            fate = f"all stay: {self.reason}"
        else:
            fate = f"{self.kept} stay"
            if self.gain_us is not None:
                fate += f", alone that saves {self.gain_us:.0f} us (estimated)"
        lines = [f"  {self.name}: {self.channels} channels{copies}; {fate}"]
        if self.makers:
            lines.append(f"    made by {', '.join(self.makers)}")
        if self.readers:
            lines.append(f"    read by {', '.join(self.readers)}")
        if self.tied_by:
            lines.append(f"    tied by {', '.join(self.tied_by)}")
        return lines


@dataclass(frozen=True)
class PruningNote:
    """All groups of a model, as one run of the pass left them."""

    name: str
    target: str
    groups: tuple[GroupNote, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """What went, in one line, and why the rest stayed: up to five reasons, those of most channels first."""
        staying = sorted((g for g in self.groups if g.reason), key=lambda group: -group.channels)
        stays = [f"  {group.name} ({group.channels} channels) stays: {group.reason}" for group in staying[:_REASONS]]
        more = [f"  so do {len(staying) - _REASONS} more groups"] if len(staying) > _REASONS else []
        return [self._summary(), *stays, *more]

    def explain(self) -> list[str]:
        """Every group."""
        return [self._summary(), *(line for group in self.groups for line in group.explain())]

    def _summary(self) -> str:
        channels = sum(group.channels for group in self.groups)
        pruned = [group for group in self.groups if group.kept < group.channels]
        removed = sum(group.channels - group.kept for group in pruned)
        if not self.groups:
            return f"{self.name}: nothing to do, no layer makes channels"
        if not removed:
            return f"{self.name}: nothing to do, no group of channels may lose any"
        return f"{self.name}: {removed} of {channels} channels removed, from {len(pruned)} of {len(self.groups)} groups"


_REASONS = 5


def pruning_note(step: Pass, context: Context, decisions: Sequence[Decision]) -> PruningNote:
    return PruningNote(str(step), context.target, tuple(_group_note(decision) for decision in decisions))


def _group_note(decision: Decision) -> GroupNote:
    group = decision.group
    makers, readers = _by_role(decision, Role.FILTER), _by_role(decision, Role.INPUT)
    # a product joins what it reads to its weight only, where a grouped convolution ties channels to each other
    alone = {*makers, *readers}
    ties = dict.fromkeys(
        tie for tie in group.couplings if tie.node not in (alone if tie.op in ("Gemm", "MatMul") else makers)
    )
    return GroupNote(
        name=group.name,
        channels=len(group),
        copies=group.copies,
        kept=decision.kept,
        reason=decision.reason,
        gain_us=decision.gain_us,
        makers=makers,
        readers=readers,
        tied_by=tuple(f"{tie.node} ({tie.op})" for tie in ties),
    )


def _by_role(decision: Decision, role: Role) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.node for part in decision.group.parts if part.role is role))
