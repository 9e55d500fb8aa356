"""What came of the tests, counted by operator: as a table for people, in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.conformance.cases import Case, why_not_static
from tests.conformance.outcome import Outcome


@dataclass
class Row:
    """Tests by outcome.

    Attributes:
        passed: right, computed by the bundle.
        constant: right, but all of it was computed at compile time.
        refused: by the error's code.
        wrong: faults of hetpart, by outcome.
    """

    passed: int = 0
    constant: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        if outcome.right:
            self.passed += outcome.word == "pass"
            self.constant += outcome.word == "constant"
        elif outcome.refused:
            self.refused[outcome.word.removeprefix("refused:")] += 1
        else:
            self.wrong[outcome.word] += 1

    @property
    def right(self) -> int:
        return self.passed + self.constant

    @property
    def total(self) -> int:
        return self.right + self.refused.total() + self.wrong.total()


ALL, STATIC = "all", "static subset"


def rows(cases: Sequence[Case], outcomes: Mapping[str, Outcome]) -> dict[str, Row]:
    """A row per operator, by name, and then those of all tests and of the static subset."""
    found: dict[str, Row] = {}
    last = {ALL: Row(), STATIC: Row()}
    for case in cases:
        outcome = outcomes[case.name]
        found.setdefault(case.operator, Row()).add(outcome)
        last[ALL].add(outcome)
        if why_not_static(case) is None:
            last[STATIC].add(outcome)
    return dict(sorted(found.items())) | last


def markdown(table: Mapping[str, Row]) -> str:
    """`table`, with the reasons for what is not right, and the share of the static subset that is."""
    lines = ["| operator | tests | pass | constant | refused | wrong | why |", "|---|--:|--:|--:|--:|--:|---|"]
    for name, row in table.items():
        why = ", ".join(f"{code} {count}" for code, count in (row.wrong + row.refused).most_common())
        cells = [name, row.total, row.passed, row.constant, row.refused.total(), row.wrong.total(), why]
        lines.append("|" + "|".join(f" {cell} " if cell != "" else " " for cell in cells) + "|")
    static = table[STATIC]
    if static.total:
        lines.append(f"\nStatic subset: {static.right} of {static.total} right, {static.right / static.total:.1%}.")
    return "\n".join(lines)


def outside(cases: Sequence[Case]) -> str:
    """Why tests are outside of the static subset, with how many."""
    reasons = Counter(why for case in cases if (why := why_not_static(case)))
    return ", ".join(f"{why} {count}" for why, count in reasons.most_common())
