"""What the oracle says, and the shape of its rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from hetpart.graph.units import TensorType, Unit, UnitGraph
from hetpart.targets.schema import Processor

Level = Literal["supported", "degraded", "unsupported"]


@dataclass(frozen=True)
class Verdict:
    """Whether a unit can run on a processor.

    Attributes:
        level: ``supported``; ``degraded``, it runs, but much slower than it could; ``unsupported``.
        reason: stable kebab-case code, ``ok`` if supported.
        message: one sentence.
        hint: what would lead to a better verdict; empty if there is nothing to do.
        rule: the rule that decided, None if none applied. Verdicts are equal whatever rule led to them.
    """

    level: Level
    reason: str
    message: str
    hint: str = ""
    rule: Rule | None = field(default=None, compare=False, repr=False)

    @property
    def runs(self) -> bool:
        """Whether the processor can run the unit at all."""
        return self.level != "unsupported"


@dataclass(frozen=True)
class Subject:
    """What a rule looks at."""

    unit: Unit
    graph: UnitGraph
    processor: Processor

    def tensors(self) -> Iterator[tuple[str, TensorType]]:
        """Name and type of every activation that the unit reads or writes."""
        for value in (*self.unit.inputs, *self.unit.outputs):
            yield value, self.graph.types[value]


@dataclass(frozen=True)
class Rule:
    """A reason why a unit cannot run, or runs badly.

    Attributes:
        reason: code of the verdict it leads to.
        level: level of that verdict.
        applies: returns the verdict's message if the rule holds, else None.
        hint: what the user can do about it.
        source: where the fact comes from.
    """

    reason: str
    level: Level
    applies: Callable[[Subject], str | None]
    hint: str
    source: str


def first_match(rules: tuple[Rule, ...], subject: Subject) -> Verdict | None:
    """The verdict of the first rule that applies."""
    for rule in rules:
        if (message := rule.applies(subject)) is not None:
            return Verdict(rule.level, rule.reason, message, rule.hint, rule)
    return None
