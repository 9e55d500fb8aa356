"""ONNX's backend tests, a fixed part of them: nothing is wrong, nothing crashes, nothing is lost.

The rest runs with the slow tests, and all of it with ``make conformance``, which also updates ``outcomes.txt``.
"""

from __future__ import annotations

from functools import cache

import onnx
import pytest

from tests.conformance.cases import Case, load_cases
from tests.conformance.outcome import Outcome, run_case
from tests.conformance.run import read_outcomes
from tests.conformance.table import markdown, outside, rows

_QUICK = 8
"""Shards of 16 that every run of the test suite takes: each 30 to 50 s of one core."""


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


def test_the_table_counts_by_operator() -> None:
    def case(name: str, operator: str) -> Case:
        values = [onnx.helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, (1,)) for value in "xy"]
        graph = onnx.helper.make_graph([onnx.helper.make_node(operator, ["x"], ["y"])], "g", values[:1], values[1:])
        return Case(name, "node", onnx.helper.make_model(graph), [], 0.0, 0.0)

    tests = [case("a", "Relu"), case("b", "Relu"), case("c", "Abs"), case("d", "NonZero")]
    words = {"a": "pass", "b": "refused:dtype", "c": "wrong", "d": "constant"}
    table = rows(tests, {name: Outcome(word) for name, word in words.items()})
    assert list(table) == ["Abs", "NonZero", "Relu", "all", "static subset"]
    lines = markdown(table).splitlines()
    assert "| Relu | 2 | 1 | 0 | 1 | 0 | dtype 1 |" in lines
    assert "| Abs | 1 | 0 | 0 | 0 | 1 | wrong 1 |" in lines
    assert "| all | 4 | 1 | 1 | 1 | 1 | wrong 1, dtype 1 |" in lines
    assert lines[-1] == "Static subset: 1 of 3 right, 33.3%."
    assert outside(tests) == "a shape that depends on data 1"


def test_the_outcomes_on_file_hold_no_fault() -> None:
    outcomes = read_outcomes()
    assert len(outcomes) > 1800
    faults = [
        name for name, word in outcomes.items() if not (word in ("pass", "constant") or word.startswith("refused:"))
    ]
    assert faults == []
