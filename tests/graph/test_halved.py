"""Which row-major values are float16, and that what only moves elements keeps their type."""

from __future__ import annotations

import numpy as np

from hetpart.graph.assign import Assignment, assign
from hetpart.graph.layout import Blocked, Plain, Strided
from tests.graph.test_strided import attention
from tests.unit_graphs import units_of


def types(text: str, **constants: tuple[int, ...] | np.ndarray) -> dict[str, str]:
    """The stored type of every row-major value in a network compiled to float16."""
    return rows(assign(units_of(text, **constants), 4, half=True))


def rows(found: Assignment) -> dict[str, str]:
    return {value: form.dtype for value, form in found.layouts.items() if not isinstance(form, Blocked)}


def test_the_caller_has_float32_and_kernels_have_float16_between_them() -> None:
    text = "g (float[4, 8] x) => (y) { a = MatMul (x, w) b = Softmax (a) y = MatMul (b, v) }"
    found = types(text, w=(8, 8), v=(8, 3))
    assert found == {"x": "float32", "a": "float16", "b": "float16", "y": "float32"}


def test_a_unit_on_onnx_types_is_given_them() -> None:
    text = """g (float[4, 8] x) => (y) {
        a = Softmax (x) b = CumSum (a, axis) c = Relu (b) d = Softmax (c) e = Softmax (d) y = Relu (e)
    }"""
    found = types(text, axis=np.array(1))
    assert {value for value, dtype in found.items() if dtype == "float16"} >= {"d"}
    assert (found["a"], found["b"]) == ("float32", "float32")


def test_moves_have_one_type_on_both_sides() -> None:
    text = """g (float[4, 8] x) => (y, z) {
        a = Softmax (x) t = Transpose (a) r = Reshape (t, shape) y = Softmax (r)
        b = Softmax (x) z = Transpose (b)
        c = Concat <axis = 0> (x, a) d = Softmax (c) y2 = Softmax (d)
    }"""
    found = types(text.replace("=> (y, z)", "=> (y, z, y2)"), shape=np.array([2, 16]))
    assert {found[value] for value in "xabctr"} == {"float32"}  # x is the caller's, so what lies beside it is, too
    assert found["d"] == "float16"
    alone = types(text.replace("c = Concat <axis = 0> (x, a) d = Softmax (c) y2 = Softmax (d)", ""),
                  shape=np.array([2, 16]))  # fmt: skip
    assert {found for value, found in alone.items() if value in "atr"} == {"float16"}
    assert {alone["b"], alone["z"]} == {"float32"}


def test_a_view_by_strides_has_the_type_of_its_root() -> None:
    whole = attention()
    halved = assign(whole.fused, 4, half=True)
    for value, form in whole.layouts.items():
        twin = halved.layouts[value]
        assert isinstance(twin, Plain)
        assert twin.shape == form.shape
        if isinstance(form, Strided):
            assert isinstance(twin, Strided)
            assert (twin.first, twin.steps) == (form.first, form.steps)
    stored = rows(halved)
    assert {stored[value] for value in ("p", "q", "v", "k2", "s", "a")} == {"float16"}
    assert {stored["x"], stored["m"]} == {"float32"}


def test_without_float16_nothing_changes() -> None:
    assert set(rows(attention()).values()) == {"float32"}
