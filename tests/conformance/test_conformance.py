"""ONNX's backend tests, a fixed part of them: nothing is wrong, nothing crashes, nothing is lost.

The rest runs with the slow tests, and all of it with ``make conformance``, which also updates ``outcomes.txt``.
"""

from __future__ import annotations

from functools import cache

import pytest

from tests.conformance.cases import Case, load_cases
from tests.conformance.outcome import run_case
from tests.conformance.run import read_outcomes

_QUICK = 5
"""Shards of 16 that every run of the test suite takes: about a minute on two cores."""


@cache
def cases() -> list[Case]:
    return load_cases()


@pytest.mark.parametrize(
    "shard", [pytest.param(shard, marks=[pytest.mark.slow] if shard >= _QUICK else []) for shard in range(16)]
)
def test_outcomes(shard: int) -> None:
    known = read_outcomes()
    lost = []
    for case in cases():
        if case.shard != shard:
            continue
        before = known.get(case.name, "")  # a newer onnx has more tests
        outcome = run_case(case)
        if not (outcome.right or outcome.refused):
            lost.append(f"{case.name}: {outcome.word}: {outcome.reason}")
        elif before in ("pass", "constant") and not outcome.right:
            lost.append(f"{case.name}: was {before}, is {outcome.word}: {outcome.reason}")
    assert not lost, "\n".join([*lost, "if that is meant, run `make conformance` and commit outcomes.txt"])


def test_the_outcomes_on_file_hold_no_fault() -> None:
    outcomes = read_outcomes()
    assert len(outcomes) > 1800
    faults = [
        name for name, word in outcomes.items() if not (word in ("pass", "constant") or word.startswith("refused:"))
    ]
    assert faults == []
