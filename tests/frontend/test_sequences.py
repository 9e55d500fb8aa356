"""Sequences inside of a model: their tensors take their place, and the results stay."""

from __future__ import annotations

import numpy as np
import pytest

from hetpart.frontend import import_model
from tests.frontend.support import model_of, op_types, refused, same_function

THREE = "(float[2,3] x, float[2,3] y, float[2,3] z)"
CASES: dict[str, tuple[str, dict[str, np.ndarray]]] = {
    "insert and erase": (
        THREE + " => (float[2,3] out) { e = SequenceEmpty() a = SequenceInsert(e, x) b = SequenceInsert(a, y) "
        "c = SequenceInsert(b, z, first) d = SequenceErase(c, last) out = SequenceAt(d, one) }",
        {"first": np.array(0), "last": np.array(-1), "one": np.array(1)},
    ),
    "joined": (THREE + " => (float[6,3] out) { s = SequenceConstruct(x, y, z) d = SequenceInsert(s, x, i) "
               "e = SequenceErase(d) out = ConcatFromSequence <axis = -2> (e) }", {"i": np.array(-1)}),
    "stacked": (THREE + " => (float[2,3,3] out) { s = SequenceConstruct(x, y, z) "
                "out = ConcatFromSequence <axis = -1, new_axis = 1> (s) }", {}),
    "split by one size": ("(float[2,7] x) => (float[2,1] out) { s = SplitToSequence <axis = 1> (x, n) "
                          "out = SequenceAt(s, i) }", {"n": np.array(3), "i": np.array(2)}),
    "split by sizes": ("(float[7,2] x) => (float[4,2] out) { s = SplitToSequence(x, n) out = SequenceAt(s, i) }",
                       {"n": np.array([2, 4, 1]), "i": np.array(-2)}),
    "split into slices": ("(float[3,4] x) => (float[3] out) { s = SplitToSequence <axis = -1, keepdims = 0> (x) "
                          "out = SequenceAt(s, i) }", {"i": np.array(2)}),
}  # fmt: skip


@pytest.mark.parametrize("opset", [11, 18])
@pytest.mark.parametrize("case", CASES)
def test_the_function_stays(case: str, opset: int) -> None:
    text, constants = CASES[case]
    imported = same_function(model_of(text, opset=opset, **constants), tolerance=0)
    assert not any("Sequence" in op for op in op_types(imported))


def test_a_place_that_is_computed_is_refused() -> None:
    text = (
        THREE.replace(")", ", int64 i)") + " => (float[2,3] out) { s = SequenceConstruct(x, y) out = SequenceAt(s, i) }"
    )
    with refused("unsupported-dtype"):
        import_model(model_of(text))


def test_a_place_outside_is_refused() -> None:
    text = THREE + " => (float[2,3] out) { s = SequenceConstruct(x, y, z) out = SequenceAt(s, i) }"
    with refused("unsupported-dtype"):
        import_model(model_of(text, i=np.array(3)))
