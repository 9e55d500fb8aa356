"""Views by strides: what attention reads where one product left it, and what must be moved all the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetpart.build import build
from hetpart.compiler import Options
from hetpart.graph.assign import Assignment, assign
from hetpart.graph.layout import Plain, Strided, pack, unpack
from hetpart.graph.strided import strided_views
from tests.unit_graphs import HEADER, units_of

SPLIT = """
    p = MatMul (x, w)
    r = Reshape (p, heads)
    t = Transpose <perm = [2, 0, 3, 1, 4]> (r)
    q = Gather <axis = 0> (t, zero)
    k = Gather <axis = 0> (t, one)
    v = Gather <axis = 0> (t, two)
    k2 = Transpose <perm = [0, 1, 3, 2]> (k)
    s = MatMul (q, k2)
    a = Softmax (s)
    m = MatMul (a, v)
"""
CONSTANTS = {
    "w": np.random.default_rng(0).standard_normal((12, 24)).astype(np.float32),
    "heads": np.array([1, 5, 3, 2, 4]),
    **{name: np.array(i) for i, name in enumerate(("zero", "one", "two"))},
}


def views(text: str, **constants: np.ndarray) -> dict[str, str]:
    """The views of the graph and their roots."""
    return {value: root for value, (root, _) in strided_views(units_of(text, **constants), set()).items()}


def attention(more: str = "", outputs: str = "float[1, 2, 5, 4] m") -> Assignment:
    return assign(units_of(f"g (float[1, 5, 12] x) => ({outputs}) {{ {SPLIT} {more} }}", **CONSTANTS), 4)


def test_query_and_value_are_read_where_the_product_left_them() -> None:
    found = attention()
    assert found.layouts["q"] == Strided((1, 2, 5, 4), "float32", 120, 0, (120, 4, 24, 1))
    assert found.layouts["v"] == Strided((1, 2, 5, 4), "float32", 120, 16, (120, 4, 24, 1))
    assert found.layouts["k2"] == Plain((1, 2, 4, 5))  # a product wants whole rows on the right
    moving = [unit.name for unit in found.graph if unit.name not in found.free]
    assert moving == ["MatMul_0", "Transpose_6", "MatMul_7", "Softmax_8", "MatMul_9"]
    assert found.root("v") == ("p", 0)
    assert found.written_parts("k") == (("MatMul_0", "p"),)


def test_a_value_that_others_read_is_made() -> None:
    found = attention("z = Relu (q)", "float[1, 2, 5, 4] m, float[1, 2, 5, 4] z")
    assert found.layouts["q"] == Plain((1, 2, 5, 4))
    assert found.layouts["t"] == Plain((3, 1, 2, 5, 4))  # which Gather reads as it is
    assert found.layouts["v"] == Strided((1, 2, 5, 4), "float32", 120, 80, (40, 20, 4, 1))
    assert found.root("v") == ("t", 0)


def test_an_output_and_an_operand_are_made() -> None:
    assert isinstance(attention(outputs="float[1, 2, 5, 4] m, float[1, 2, 5, 4] v").layouts["v"], Plain)
    text = """
        g (float[4, 5] x, float[5, 5] y) => (float[5, 4] z) {
            u = Transpose <perm = [1, 0]> (x)
            r = MatMul (y, u)
            z = Add (r, u)
        }"""
    assert views(text) == {}


def test_rows_far_apart_are_copied_for_the_right_hand_side() -> None:
    text = """
        g (float[1024, 2, 512] x, float[2, 8, 1024] y) => (float[2, 8, 512] z) {
            t = Transpose <perm = [1, 0, 2]> (x)
            z = MatMul (y, t)
        }"""
    assert views(text) == {}
    assert views(text.replace("1024", "128")) == {"t": "x"}


@given(data=st.data())
def test_a_view_holds_what_the_operators_would_make(data: st.DataObject) -> None:
    """Any transpositions, gathers and reshapes before a transposition."""
    sizes = st.sampled_from([1, 2, 3, 4])
    shape = tuple(data.draw(st.lists(sizes, min_size=2, max_size=4)))
    x = value = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    lines, constants, name = [], {}, "x"
    for i in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["Transpose", "Gather", "Reshape"]))
        if kind == "Transpose":
            perm = data.draw(st.permutations(range(value.ndim)))
            value, line = value.transpose(perm), f"Transpose <perm = {list(perm)}> ({name})"
        elif kind == "Gather":
            axis = data.draw(st.integers(0, value.ndim - 1))
            index = data.draw(st.integers(-value.shape[axis], value.shape[axis] - 1))
            if value.ndim == 1:
                break
            value, line = value.take(index, axis), f"Gather <axis = {axis}> ({name}, c{i})"
            constants[f"c{i}"] = np.array(index)
        else:
            split = [f for size in value.shape for f in ([2, size // 2] if size % 2 == 0 else [size, 1])]
            value, line = value.reshape(split), f"Reshape ({name}, c{i})"
            constants[f"c{i}"] = np.array(split)
        name = f"v{i}"
        lines.append(f"{name} = {line}")
    last = f"z = Transpose <perm = {list(reversed(range(value.ndim)))}> ({name})"
    out = ", ".join(map(str, reversed(value.shape)))
    text = f"g (float[{', '.join(map(str, shape))}] x) => (float[{out}] z) {{ {' '.join(lines)} {last} }}"
    graph = units_of(text, **constants)
    for found, (root, view) in strided_views(graph, set()).items():
        if found == name and root == "x":
            np.testing.assert_array_equal(unpack(x.reshape(-1), view), value)
            np.testing.assert_array_equal(unpack(pack(value, view), view), value)


@pytest.mark.parametrize("strategy", ["cpu", "gpu"])
def test_attention_computes_the_same_on_each_processor(tmp_path: Path, strategy: str) -> None:
    model = onnx.parser.parse_model(HEADER + f"g (float[1, 5, 12] x) => (float[1, 2, 5, 4] m) {{ {SPLIT} }}")
    model.graph.initializer.extend(onnx.numpy_helper.from_array(data, name) for name, data in CONSTANTS.items())
    build(model, "host", tmp_path / "out", Options(strategy=strategy), verify="segments")
