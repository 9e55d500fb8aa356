"""Calibration data: what is accepted, what is refused and how, and the values that a network computes of them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetpart.activations import Walk, activations
from hetpart.calibration import calibration, load_calibration
from hetpart.errors import HetpartError, InternalError
from hetpart.passes.printer import print_model
from tests.passes.support import draw, evaluate, parse

F32 = np.float32

NETWORK = parse(
    "(float[1,3,5,5] x) => (float[1,2,5,5] y) { a = Conv(x, w) b = Relu(a) y = Conv(b, v) }",
    w=draw(4, 3, 1, 1), v=draw(2, 4, 1, 1),
)  # fmt: skip

TWO = parse("(float[2,3] x, int64[2,3] i) => (float[2,3] y) { c = Cast<to=1>(i) y = Add(x, c) }")


def test_samples_lie_along_the_first_axis_or_one_in_front(tmp_path: Path) -> None:
    images = draw(7, 3, 5, 5)
    for array in (images, images[:, None]):
        np.savez(tmp_path / "data.npz", x=array)
        found = load_calibration(tmp_path / "data.npz", NETWORK)
        assert len(found) == 7
        np.testing.assert_array_equal(found.inputs["x"], images[:, None])


@given(samples=st.integers(1, 5), stacked=st.booleans())
def test_a_batch_of_the_model_is_one_run(samples: int, stacked: bool) -> None:
    x, i = draw(2 * samples, 3), np.arange(6 * samples).reshape(2 * samples, 3)
    found = calibration({"x": x.reshape(samples, 2, 3) if stacked else x, "i": i}, TWO)
    assert len(found) == samples
    for index, feeds in enumerate(found):
        np.testing.assert_array_equal(feeds["x"], x[2 * index : 2 * index + 2])
        np.testing.assert_array_equal(feeds["i"], i[2 * index : 2 * index + 2])


def write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"x": 1}))


def write_objects(path: Path) -> None:
    np.savez(path, x=np.array([{}], object))


def write_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, draw(1, 3, 5, 5))


def write_half(path: Path) -> None:
    np.savez_compressed(path, x=draw(20, 3, 5, 5))
    path.write_bytes(path.read_bytes()[:400])


def write_text(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "1 2 3")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "cannot read"),
        (Path.mkdir, "cannot read"),
        (Path.touch, "is no .npz file"),
        (lambda path: path.write_text("x"), "is no .npz file"),
        (write_pickle, "is no .npz file"),
        (write_half, "is no .npz file"),
        (write_array, "holds a single array"),
        (write_objects, "cannot read 'x'"),
        (write_text, "'x' is no array"),
    ],
)
def test_unreadable_files(write: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    write(tmp_path / "data.npz")
    with pytest.raises(HetpartError, match=message) as caught:
        load_calibration(tmp_path / "data.npz", NETWORK)
    assert caught.value.code == "bad-calibration"
    assert "data.npz" in caught.value.message


@pytest.mark.parametrize(
    ("arrays", "message", "hint"),
    [
        ({}, "has nothing, but not the input 'x'", "numpy.savez"),
        ({"x": draw(2, 3, 5, 5), "y": draw(2)}, "has 'y', which is no input", "did you mean 'x'|inputs: x"),
        ({"X": draw(2, 3, 5, 5)}, "has 'X', which is no input", "inputs: x"),
        ({"x": draw(2, 3, 5, 5).astype(np.float64)}, "is float64, the model's input is float32", "astype"),
        ({"x": np.zeros((2, 3, 5, 5), np.uint8)}, "is uint8", "astype"),
        ({"x": draw(2, 5, 5, 3)}, r"has shape \(2, 5, 5, 3\)", r"\(n, 3, 5, 5\) or \(n, 1, 3, 5, 5\)"),
        ({"x": draw(3, 5, 5)}, r"has shape \(3, 5, 5\)", r"\(n, 3, 5, 5\)"),
        ({"x": np.float32(1)}, r"has shape \(\)", r"\(n, 3, 5, 5\)"),
        ({"x": draw(0, 3, 5, 5)}, "has no samples", "at least one"),
        ({"x": np.full((2, 3, 5, 5), np.nan, F32)}, "has 150 numbers that are NaN or infinite", "leave"),
        ({"x": np.full((1, 3, 5, 5), -np.inf, F32)}, "has 75 numbers that are NaN or infinite", "leave"),
    ],
)
def test_arrays_that_do_not_fit(arrays: dict[str, np.ndarray], message: str, hint: str) -> None:
    with pytest.raises(HetpartError, match=message) as caught:
        calibration(arrays, NETWORK)
    assert caught.value.code == "bad-calibration"
    caught.match(hint)


def test_samples_that_do_not_fit_a_batch_of_two() -> None:
    integers = np.zeros((2, 3), np.int64)
    with pytest.raises(HetpartError, match=r"has 3 samples.*\n.*takes 2 at once"):
        calibration({"x": draw(3, 3), "i": integers}, TWO)
    with pytest.raises(HetpartError, match="unequally many samples: 2 of 'x', 1 of 'i'"):
        calibration({"x": draw(4, 3), "i": integers}, TWO)


def test_a_model_without_inputs() -> None:
    with pytest.raises(HetpartError, match="no inputs"):
        calibration({}, parse("() => (float[2] y) { y = Relu(w) }", w=draw(2)))


def test_activations_are_what_the_network_computes() -> None:
    before = print_model(NETWORK)
    samples = calibration({"x": draw(3, 3, 5, 5)}, NETWORK)
    found = list(activations(NETWORK, ["b", "x", "y", "b"], samples))
    assert [list(values) for values in found] == [["b", "x", "y"]] * 3
    for feeds, values in zip(samples, found, strict=True):
        np.testing.assert_array_equal(values["x"], feeds["x"])
        np.testing.assert_allclose(values["y"], evaluate(NETWORK, feeds)[0], rtol=1e-5, atol=1e-5)
        assert (values["b"] >= 0).all()
        weight = draw(2, 4, 1, 1).reshape(2, 4)
        expected = np.einsum("oc,nchw->nohw", weight, values["b"])
        np.testing.assert_allclose(values["y"], expected, rtol=1e-4, atol=1e-5)
    assert print_model(NETWORK) == before


def test_activations_run_only_what_they_need() -> None:
    """A custom operator behind the value that is asked for is in nobody's way."""
    model = parse("(float[2] x) => (float[2] y) { a = Relu(x) y = custom.Thing(a) }")
    samples = calibration({"x": np.array([[-1, 1]], F32)}, model)
    assert [values["a"].tolist() for values in activations(model, ["a"], samples)] == [[0, 1]]


def test_activations_of_inputs_alone_and_of_unknown_values() -> None:
    samples = calibration({"x": draw(2, 3, 5, 5)}, NETWORK)
    assert [list(values) for values in activations(NETWORK, ["x"], samples)] == [["x"], ["x"]]
    with pytest.raises(InternalError, match="no node of the model makes this value"):
        next(activations(NETWORK, ["w"], samples))


def test_a_walk_shows_what_the_whole_network_computes() -> None:
    """Step by step, with a shortcut over several steps, and with a constant that changes ahead of it."""
    model = parse(
        """(float[1,3,5,5] x) => (float[1,4,5,5] y)
        { a = Conv(x, w) b = Relu(a) c = Conv(b, v) d = Relu(c) e = Add(d, a) y = Conv(e, u) }""",
        w=draw(4, 3, 1, 1), v=draw(4, 4, 1, 1), u=draw(4, 4, 1, 1),
    )  # fmt: skip
    samples = [{"x": draw(1, 3, 5, 5, seed=seed)} for seed in range(3)]
    walk = Walk(model, samples)
    for reached, shown in ((["x"], ["a"]), (["b"], ["c"])):
        for found, whole in zip(
            walk.step(reached, shown), activations(model, [*reached, *shown], samples), strict=True
        ):
            assert list(found) == [*reached, *shown]
            for name, value in whole.items():
                np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6)
    value = model.graph[2].inputs[1]
    assert value is not None
    value.const_value = ir.tensor(draw(4, 4, 1, 1, seed=9))
    for found, whole in zip(walk.step(["e"], ["y"]), activations(model, ["e", "y"], samples), strict=True):
        for name, array in whole.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5)
    with pytest.raises(InternalError, match="no node of the model makes"):
        next(walk.step(["z"], []))


def test_thinned_samples_are_evenly_spaced() -> None:
    data = calibration({"x": draw(10, 3, 5, 5)}, NETWORK)
    np.testing.assert_array_equal(data.thinned(4).inputs["x"], data.inputs["x"][[0, 2, 5, 7]])
    assert data.thinned(10) is data
