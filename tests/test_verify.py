"""The measure of difference, its limits, and the reference."""

from __future__ import annotations

import math

import numpy as np
import onnx.parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetpart.errors import HetpartError, InternalError
from hetpart.graph.units import TensorType
from hetpart.verify import TOLERANCE, Difference, difference, random_inputs, reference, require_equal, too_far

F32 = np.float32


def test_equal_arrays_do_not_differ_whatever_they_hold() -> None:
    for array in (np.array([1, np.inf, -np.inf, np.nan], F32), np.zeros(3, F32), np.zeros((0, 2), F32), np.arange(3)):
        assert difference(array, array) == Difference(0.0, 0.0)


@given(st.floats(1e-6, 1e-2))
def test_relative_error_is_that_of_the_norms(error: float) -> None:
    expected = np.random.default_rng(0).standard_normal(1000)
    assert difference(expected * (1 + error), expected).rel_l2 == pytest.approx(error)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_wrong_nan_or_infinity_is_infinitely_far(bad: float) -> None:
    assert difference(np.array([1.0, bad]), np.array([1.0, 2.0])).rel_l2 == math.inf
    assert difference(np.array([1.0, 2.0]), np.array([1.0, bad])).rel_l2 == math.inf


def test_integers_differ_by_the_share_of_wrong_elements() -> None:
    assert difference(np.array([1, 2, 3, 9]), np.array([1, 2, 3, 4])) == Difference(0.25, 5.0)
    assert difference(np.array([True, False]), np.array([True, True])) == Difference(0.5, 1.0)


def test_another_shape_is_our_fault() -> None:
    with pytest.raises(InternalError, match="output-shape"):
        difference(np.zeros(2), np.zeros((1, 2)))


def test_limits_depend_on_the_type() -> None:
    found = dict.fromkeys(("half", "single", "integer"), Difference(1e-3, 1.0))
    expected = {"half": np.zeros(1, np.float16), "single": np.zeros(1, F32), "integer": np.zeros(1, np.int64)}
    assert too_far(found, expected) == {"single": TOLERANCE, "integer": 0.0}
    assert too_far({"single": Difference(math.nan, 0.0)}, expected) == {"single": TOLERANCE}
    with pytest.raises(InternalError, match=r"output single differs .* 1\.00e-03 .*allowed 1e-04; here") as caught:
        require_equal(found, expected, "here")
    assert (caught.value.code, caught.value.node, caught.value.exit_code) == ("wrong-result", "single", 3)


def test_random_inputs_are_informative_and_repeatable() -> None:
    types = {"x": TensorType((4, 100), "float32"), "n": TensorType((200,), "int64"), "m": TensorType((200,), "bool")}
    first, again = random_inputs(types, seed=3), random_inputs(types, seed=3)
    for name, kind in types.items():
        assert (first[name].shape, first[name].dtype) == (kind.shape, np.dtype(kind.dtype))
        np.testing.assert_array_equal(first[name], again[name])
    assert first["x"].std() == pytest.approx(1.0, abs=0.1)
    assert set(first["n"]) == {0, 1}


def test_reference_computes_any_value_and_refuses_wrong_inputs() -> None:
    text = '<ir_version: 8, opset_import: ["" : 13]> g (float[2] x) => (float[2] y) { y = Neg(x) }'
    model = onnx.parser.parse_model(text)
    x = np.array([1, -2], F32)
    np.testing.assert_array_equal(reference(model, {"x": x})["y"], -x)
    with pytest.raises(HetpartError, match="reference-failed"):
        reference(model, {"x": np.zeros(3, F32)})
