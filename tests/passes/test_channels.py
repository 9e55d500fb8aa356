"""Channel moves: which chains become one unit, what they say about every channel, and where a chain ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetpart.graph.units import UnitGraph
from tests.passes.support import draw, evaluate, inputs
from tests.passes.test_fuse import fused, summary

IMAGE = "float[2,12,5,6] x"
WEIGHTS = {"w": draw(12, 12, 1, 1), "v": draw(12, 12, 1, 1, seed=1), "u": draw(12, 6, 1, 1, seed=2)}
SHAPES = {"apart": np.array([2, 2, 6, 5, 6]), "again": np.array([2, 12, 5, 6])}
SHUFFLE = "p = Reshape(c, apart) q = Transpose<perm=[0,2,1,3,4]>(p) s = Reshape(q, again)"
UNIT = "Reshape+Transpose+Reshape"


def moved(body: str, **constants: np.ndarray) -> UnitGraph:
    """Units of ``c = Conv(x, w)`` and `body`; what each move says of its channels is checked against onnxruntime."""
    read = {name: data for name, data in {**WEIGHTS, **SHAPES, **constants}.items() if name in body or name == "w"}
    graph = fused(f"({IMAGE}) => (float y) {{ c = Conv(x, w) {body} }}", **read)
    for unit in graph:
        if unit.kind == "channels":
            check_picks(graph, unit.name)
    return graph


def check_picks(graph: UnitGraph, name: str) -> None:
    from hetpart.graph.extract import unit_model

    unit = graph.units[name]
    model = unit_model(graph, unit)
    feeds = {value: draw(*graph.types[value].shape, seed=seed) for seed, value in enumerate(unit.inputs)}
    assert len(unit.picks) == len(unit.outputs)
    for found, picks in zip(evaluate(model, feeds), unit.picks, strict=True):
        sources = [feeds[value] for value in unit.inputs]
        np.testing.assert_array_equal(found, np.stack([sources[i][:, channel] for i, channel in picks], axis=1))


@pytest.mark.parametrize(
    ("body", "op"),
    [
        (f"{SHUFFLE} y = Conv(s, v)", UNIT),
        (f"d = Relu(c) e = Sigmoid(d) c2 = Concat<axis=1>(e, x) {SHUFFLE.replace('(c,', '(c2,')} y = Relu(s)", ""),
        (f"{SHUFFLE} a, b = Split<axis=1, num_outputs=2>(s) y = Add(a, b)", f"{UNIT}+Split"),
        ("a, b = Split<axis=1>(c, part) d = Conv(a, u) y = Concat<axis=1>(d, b)", "Split"),
        ("a = Slice(c, three, nine, one, two) y = Relu(a)", "Slice"),
        ("a = Slice(c, nine, low, one, back) y = Relu(a)", "Slice"),
        ("a = Gather<axis=1>(c, some) y = Relu(a)", "Gather"),
        (f"{SHUFFLE} a = Slice(s, three, nine, one, two) b = Gather<axis=1>(s, some) y = Add(a, b)", "both"),
    ],
)
def test_one_unit(body: str, op: str) -> None:
    numbers = {
        "three": np.array([3]), "nine": np.array([9]), "one": np.array([1]), "two": np.array([2]),
        "back": np.array([-1]), "low": np.array([-100]), "some": np.array([11, -2, 0]), "part": np.array([6, 6]),
    }  # fmt: skip
    if not op:  # twice the channels
        numbers |= {"apart": np.array([2, 2, 12, 5, 6]), "again": np.array([2, 24, 5, 6])}
        op = f"Concat+{UNIT}"
    if op == "both":
        op = f"{UNIT}+Slice+Gather"
    graph = moved(body, **{name: data for name, data in numbers.items() if name in body})
    assert [unit.op for unit in graph if unit.kind == "channels"] == [op]
    assert not {"other", "transpose", "view"} & {unit.kind for unit in graph}


def test_a_concat_alone_stays_one() -> None:
    graph = moved("d = Conv(x, v) y = Concat<axis=1>(c, d)")
    assert [kind for kind, _ in summary(graph)].count("concat") == 1


@pytest.mark.parametrize(
    "body",
    [
        # another axis, a permutation of pixels, a shuffle whose inner value is read elsewhere, no map made of blocks
        "a = Slice(c, one, two, two) y = Relu(a)",
        "p = Reshape(c, apart) q = Transpose<perm=[0,2,1,4,3]>(p) y = Reshape(q, again)",
        f"{SHUFFLE} t = Relu(q) y = Reshape(t, again)",
        "a, b = Split<axis=1, num_outputs=2>(x) y = Add(a, b)",
    ],
)
def test_no_channel_move(body: str) -> None:
    numbers = {"one": np.array([1]), "two": np.array([2])}
    again = {"again": np.array([2, 12, 5, 6])}
    graph = moved(body, **{name: data for name, data in {**numbers, **again}.items() if name in body})
    assert all(unit.kind != "channels" for unit in graph)


def test_outputs_in_the_middle() -> None:
    """A reader of the first part stands before the second part is made."""
    numbers = {"zero": 0, "six": 6, "one": 1, "end": 12}
    graph = moved(
        f"{SHUFFLE} a = Slice(s, zero, six, one) d = Conv(a, u)"
        " b = Slice(s, six, end, one) e = Conv(b, t) y = Add(d, e)",
        t=draw(12, 6, 1, 1, seed=3), **{name: np.array([number]) for name, number in numbers.items()},
    )  # fmt: skip
    assert summary(graph)[1] == ("channels", f"{UNIT}+Slice+Slice")


def test_a_graph_output_is_kept_and_chosen_from() -> None:
    constants = {"zero": np.array([0]), "six": np.array([6]), "one": np.array([1])}
    graph = fused(
        f"({IMAGE}) => (float c, float y) {{ c = Conv(x, w) y = Slice(c, zero, six, one) }}",
        w=WEIGHTS["w"],
        **constants,
    )
    assert summary(graph) == [("conv", "Conv"), ("channels", "Slice")]


@pytest.mark.parametrize(
    ("bounds", "kind"),
    [
        ("one, end, rows", "pad"),
        ("both, ends, sizes", "pad"),
        ("one, end, rows, one", "pad"),
        ("one, end, rows, two", "other"),
        ("one, two, images", "other"),
    ],
)
def test_a_slice_of_rows_and_columns_crops_a_map(bounds: str, kind: str) -> None:
    numbers = {
        "one": [1], "two": [2], "end": [-1], "rows": [2], "both": [1, -4], "ends": [4, 100], "sizes": [-2, 3],
        "images": [0],
    }  # fmt: skip
    used = {name: np.array(data) for name, data in numbers.items() if name in bounds.replace(",", "").split()}
    graph = moved(f"a = Slice(c, {bounds}) y = Relu(a)", **used)
    assert summary(graph)[1] == (kind, "Slice")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_random_chain(data: st.DataObject) -> None:
    body, value, channels, constants = "", "c", 12, dict[str, np.ndarray]()
    if data.draw(st.booleans()):
        body, value, channels = "d = Conv(x, v) j = Concat<axis=1>(d, c)", "j", 24
    for turn in range(data.draw(st.integers(0, 2))):
        groups = data.draw(st.sampled_from([2, 3, 4]))
        constants[f"a{turn}"] = np.array([2, groups, channels // groups, 30])
        constants[f"b{turn}"] = np.array([2, channels, 5, 6])
        body += f" p{turn} = Reshape({value}, a{turn}) q{turn} = Transpose<perm=[0,2,1,3]>(p{turn})"
        body, value = f"{body} s{turn} = Reshape(q{turn}, b{turn})", f"s{turn}"
    first = data.draw(st.integers(0, channels - 1))
    last = data.draw(st.integers(first + 1, channels))
    constants |= {"first": np.array([first]), "last": np.array([last]), "axis": np.array([1])}
    graph = moved(f"{body} e = Slice({value}, first, last, axis) y = Relu(e)", **constants)
    assert inputs(graph.model)
    moves = [unit for unit in graph if unit.kind == "channels"]
    assert len(moves) == (0 if (first, last) == (0, channels) and "s0" not in body else 1)
