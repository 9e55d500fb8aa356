"""Every rule of the oracle: an example on which it decides, with a reason, a sentence and a hint; and its page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hetpart.graph.units import UnitGraph
from hetpart.oracle import judge
from hetpart.oracle.judge import RULES
from hetpart.oracle.verdict import Rule
from hetpart.targets import load_target
from tests.unit_graphs import units_of

PAGE = Path(__file__).parents[2] / "docs" / "reasons.md"
TARGET = load_target("sd855")
ALL = [(kind, rule) for kind, rules in RULES.items() for rule in rules]

EMPTY = "g (float[0,4] x) => (y) { y = Relu(x) }"
HUGE = "g (float[64,64,1024,1024] x) => (y) { y = Relu(x) }"
HALF = "g (float16[4,6] x) => (y) { y = Relu(x) }"
CUMSUM = "g (float[4,6] x) => (y) { y = CumSum(x, axis) }"

EXAMPLES: dict[tuple[str, str, int], tuple[str, dict[str, np.ndarray], str | None]] = {
    ("cpu", "empty-tensor", 0): (EMPTY, {}, None),
    ("cpu", "too-large", 0): (HUGE, {}, None),
    ("cpu", "dtype", 0): (HALF, {}, "eltwise"),
    ("cpu", "custom-operator", 0): ("g (float[4] x) => (float[4] y) { y = com.example.Swirl(x) }", {}, None),
    ("cpu", "needs-library", 0): (
        "g (float[4,6] x) => (v, i) { v, i = TopK(x, k) }", {"k": np.array([2])}, None,
    ),
    ("cpu", "no-kernel", 0): ("g (float[4,6] x) => (y) { y = LpNormalization(x) }", {}, None),
    ("cpu", "wrong-in-tvm", 0): ("g (float[4] x) => (y) { y = IsInf<detect_negative=0>(x) }", {}, None),
    ("cpu", "not-constant", 0): ("g (float[4,6] x, int64 axis) => (y) { y = CumSum(x, axis) }", {}, None),
    ("cpu", "dtype", 1): ("g (float[4] x) => (y) { y = Cast<to=17>(x) }", {}, None),
    ("cpu", "generic-kernel", 0): (CUMSUM, {"axis": np.array(1)}, None),
    ("opencl", "empty-tensor", 0): (EMPTY, {}, None),
    ("opencl", "too-large", 0): (HUGE, {}, None),
    ("opencl", "no-opencl-kernel", 0): (CUMSUM, {"axis": np.array(1)}, None),
    ("opencl", "dtype", 0): ("g (int64[2,3] x) => (y) { y = Transpose<perm=[1,0]>(x) }", {}, None),
    ("opencl", "buffer-too-large", 0): ("g (float[1,64,2048,2100] x) => (y) { y = Relu(x) }", {}, None),
    ("hexagon", "no-int8-operator", 0): (CUMSUM, {"axis": np.array(1)}, None),
    ("hexagon", "needs-int8", 0): ("g (float[4] x) => (y) { y = Relu(x) }", {}, None),
    ("hexagon", "not-emitted-yet", 0): (
        "g (float[4] x) => (y) { y = QuantizeLinear(x, s, z) }",
        {"s": np.array(0.1, np.float32), "z": np.array(0, np.uint8)},
        None,
    ),
}  # fmt: skip
"""(processor kind, reason, which of the rules with that reason) -> graph of one unit, constants, kind to give it."""


def keys() -> list[tuple[str, str, int]]:
    seen: list[tuple[str, str]] = []
    found = []
    for kind, rule in ALL:
        found.append((kind, rule.reason, seen.count((kind, rule.reason))))
        seen.append((kind, rule.reason))
    return found


def test_every_rule_has_an_example() -> None:
    assert keys() == list(EXAMPLES)


@pytest.mark.parametrize(
    ("key", "rule"),
    [pytest.param(key, rule, id="-".join(map(str, key))) for key, (_, rule) in zip(keys(), ALL, strict=True)],
)
def test_the_rule_decides_and_the_verdict_is_complete(key: tuple[str, str, int], rule: Rule) -> None:
    text, constants, unit_kind = EXAMPLES[key]
    graph: UnitGraph = units_of(text, **constants)
    (unit,) = graph
    unit = replace(unit, kind=unit_kind or unit.kind)
    (processor,) = (p for p in TARGET.processors if p.kind == key[0])
    verdict = judge(unit, graph, processor)
    assert verdict.rule is rule
    assert (verdict.level, verdict.reason, verdict.hint) == (rule.level, rule.reason, rule.hint)
    assert verdict.level in ("unsupported", "degraded")
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", verdict.reason)
    assert len(verdict.message.split()) > 3
    assert len(verdict.hint.split()) > 3
    assert rule.source


def test_the_page_lists_every_reason_with_its_processors_and_levels() -> None:
    rows = re.findall(
        r"^\| `([\w-]+)` \| ([^|]+) \| (\w+) \| [^|]{20,} \| [^|]{10,} \|$", PAGE.read_text(), re.MULTILINE
    )
    listed = {(reason, kind, level) for reason, kinds, level in rows for kind in kinds.strip().split(", ")}
    ok = {("ok", kind, "supported") for kind in ("cpu", "opencl")}
    assert listed == ok | {(rule.reason, kind, rule.level) for kind, rule in ALL}
    assert [reason for reason, _, _ in rows] == sorted(reason for reason, _, _ in rows)
