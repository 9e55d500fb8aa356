"""repair: corrected layers are what least squares makes of them, whatever the operator, and never a worse guess."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetpart.activations import activations
from hetpart.calibration import Calibration, calibration
from hetpart.errors import HetpartError
from hetpart.passes.base import Context, Origin
from hetpart.passes.edit import Array
from hetpart.passes.pipeline import optimisation_level, parse_pipeline, run_pipeline
from hetpart.passes.printer import print_model
from hetpart.passes.repairing import find
from hetpart.passes.repairing.find import find_layer
from hetpart.passes.repairing.least_squares import Regression, Sums
from tests.numerics import relative_error
from tests.passes.support import draw, parse
from tests.passes.test_prune_channels import LAYERS, random_network

SAMPLES = 48


def samples_of(model: ir.Model, count: int = SAMPLES, seed: int = 0) -> Calibration:
    value = model.graph.inputs[0]
    assert value.shape is not None
    return calibration({value.name or "": draw(count, *value.shape.numpy(), seed=seed)}, model)


def error(original: ir.Model, model: ir.Model, samples: Calibration) -> float:
    """Relative error of output y over all samples."""
    pairs = zip(activations(model, ["y"], samples), activations(original, ["y"], samples), strict=True)
    actual, wanted = (np.stack(values) for values in zip(*((a["y"], b["y"]) for a, b in pairs), strict=True))
    return relative_error(actual, wanted)


def pairs(*shape: int, scale: float = 0.25) -> Array:
    """Filters of norm 1, and after them the same again, smaller: those are pruned first."""
    half = draw(*shape)
    half /= np.linalg.norm(half.reshape(len(half), -1), axis=1).reshape(-1, *(1,) * (half.ndim - 1))
    return np.concatenate([half, half * np.float32(scale)])


BLOCKS = {
    "conv": ("y = Conv<pads=[1,1,1,1]>(b, v, c)", {"v": draw(5, 8, 3, 3), "c": draw(5)}),
    "conv without bias": ("y = Conv<strides=[2,2],dilations=[2,2]>(b, v)", {"v": draw(5, 8, 2, 2)}),
    "depthwise": (
        "d = Conv<group=8,pads=[1,1,1,1]>(b, u) y = Conv(d, v)",
        {"u": np.tile(draw(4, 1, 3, 3), (2, 1, 1, 1)), "v": draw(5, 8, 1, 1)},
    ),
    "two layers": (
        "d = Conv(b, v) e = Softmax<axis=1>(d) y = Conv(e, u)",
        {"v": draw(5, 8, 1, 1), "u": draw(3, 5, 1, 1)},
    ),
    "gemm": (
        "f = Flatten(b) y = Gemm(f, v, c)",
        {"v": draw(8 * 36, 5), "c": draw(5)},
    ),
    "matmul with a bias": (
        "t = Transpose<perm=[0,2,3,1]>(b) m = MatMul(t, v) y = Add(m, c)",
        {"v": draw(8, 5), "c": draw(5)},
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_what_other_channels_repeat_is_made_good(name: str) -> None:
    """Half of the channels are smaller copies of the others: without them the rest can compute all that was."""
    text, weights = BLOCKS[name]
    model = parse(f"(float[1,3,6,6] x) => (float[1,5,6,6] y) {{ a = Conv(x, w) b = Relu(a) {text} }}",
                  w=pairs(4, 3, 1, 1), **weights)  # fmt: skip
    run_pipeline(model, optimisation_level("O1"))
    original, samples = model.clone(), samples_of(model, 5 * SAMPLES)
    context = Context(calibration=samples)
    run_pipeline(model, parse_pipeline("prune-channels{ratio=0.5,multiple=1}"), context, verify_each=True)
    assert error(original, model, samples) > 0.1
    run_pipeline(model, parse_pipeline("repair"), context, verify_each=True)
    assert error(original, model, samples_of(model, seed=1)) < 2e-3


def test_the_correction_is_that_of_least_squares() -> None:
    model = parse("(float[1,3,6,6] x) => (float[1,4,6,6] y) { a = Conv(x, w) b = Relu(a) y = Conv(b, v) }",
                  w=draw(8, 3, 1, 1), v=draw(4, 8, 1, 1))  # fmt: skip
    original, samples = model.clone(), samples_of(model)
    context = Context(calibration=samples)
    run_pipeline(model, parse_pipeline("prune-channels{ratio=0.4,multiple=1},repair"), context)
    x = np.concatenate([run["b"] for run in activations(model, ["b"], samples)])
    y = np.concatenate([run["y"] for run in activations(original, ["y"], samples)])
    rows, wanted = (np.moveaxis(a, 1, -1).reshape(-1, a.shape[1]).astype(np.float64) for a in (x, y))
    rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    best = np.linalg.lstsq(rows, wanted)[0]
    optimum = relative_error(rows @ best, wanted)
    assert 0.05 < optimum < 0.9
    assert error(original, model, samples) == pytest.approx(optimum, rel=1e-3)
    note = context.notes[-1].to_json()
    (layer,) = note["layers"]
    assert layer["after"] == pytest.approx(optimum, rel=0.1)  # on held-out samples
    assert layer["before"] > layer["after"]


@settings(max_examples=8, deadline=None)
@given(layers=LAYERS, seed=st.integers(0, 2**16))
def test_random_networks(layers: list[str], seed: int) -> None:
    model = random_network(layers, seed)
    run_pipeline(model, optimisation_level("O1"))
    original, samples = model.clone(), samples_of(model, seed=seed)
    context = Context(calibration=samples)
    passes = parse_pipeline("prune-channels{ratio=0.4,multiple=1},repair")
    run_pipeline(model, passes, context, verify_each=True)
    notes = context.notes[-1].to_json()["layers"]
    for note in notes:
        assert note["after"] < note["before"] or note["reason"]
    if notes and notes[-1]["name"] == "Gemm":  # it makes the output
        assert error(original, model, samples) <= 1.05 * notes[-1]["after"]


def test_pruning_twice_and_repairing_once() -> None:
    model = parse("(float[1,3,6,6] x) => (float[1,64,6,6] y) { a = Conv(x, w) b = Relu(a) y = Conv(b, v) }",
                  w=pairs(8, 3, 1, 1), v=draw(64, 16, 1, 1))  # fmt: skip
    original, samples = model.clone(), samples_of(model)
    context = Context(calibration=samples)
    step = "prune-channels{ratio=0.25,multiple=1}"
    run_pipeline(model, parse_pipeline(f"{step},prune-channels{{ratio=0.34,multiple=1}},repair"), context)
    assert model.graph[0].outputs[0].shape == [1, 8, 6, 6]
    assert error(original, model, samples) < 2e-3


def test_origin_counts_in_indices_of_the_original() -> None:
    origin = Origin()
    origin.narrow({"a": [np.array([0]), np.array([1, 3, 5, 6])]})
    origin.narrow({"a": [np.array([0]), np.array([0, 2])], "b": [np.array([4])]})
    assert [axis.tolist() for axis in origin.kept["a"]] == [[0], [1, 5]]
    assert origin.kept["b"][0].tolist() == [4]


def test_a_block_makes_good_what_its_shortcut_lost() -> None:
    """The sum is what should be as it was, not the convolution's own output."""
    model = parse("""(float[1,4,3,3] x) => (float[1,4,3,3] y)
                     { a = Relu(x) b = Conv(a, w) c = Add(b, a) d = Conv(c, v) e = Conv(d, w) y = Add(d, e) }""",
                  w=draw(4, 4, 1, 1), v=draw(4, 4, 1, 1))  # fmt: skip
    known = set(model.graph.inputs)
    found = {}
    for node in model.graph:
        layer = find_layer(node, known)
        known.update(node.outputs)
        if layer is not None:
            found[node.outputs[0].name] = (layer.result.name, [value.name for value in layer.beside])
    assert found == {"b": ("c", ["a"]), "d": ("d", []), "e": ("y", ["d"])}


def test_a_normalisation_that_is_left_is_solved_for_as_scale_and_bias() -> None:
    model = parse("""(float[1,3,6,6] x) => (float[1,8,6,6] y)
                     { a = Conv(x, w) b = Relu(a) c = Conv(b, v) d = Relu(c) m = Mul(d, s) y = Add(m, t) }""",
                  w=pairs(4, 3, 1, 1), v=draw(8, 8, 1, 1), s=draw(8, 1, 1), t=draw(8, 1, 1))  # fmt: skip
    original, samples = model.clone(), samples_of(model)
    scale = find_layer(model.graph[4], set())
    assert scale is not None
    assert (scale.groups, scale.columns, scale.result.name) == (8, 2, "y")
    context = Context(calibration=samples)
    run_pipeline(model, parse_pipeline("prune-channels{ratio=0.5,multiple=1}"), context)
    for node, index, factor in ((model.graph[4], 1, 0.5), (model.graph[5], 1, 2.0)):  # a wrong normalisation
        value = node.inputs[index]
        assert value is not None
        assert value.const_value is not None
        value.const_value = ir.tensor(value.const_value.numpy() * np.float32(factor))
    run_pipeline(model, parse_pipeline("repair"), context)
    assert error(original, model, samples_of(model, seed=1)) < 2e-3


def test_of_a_layer_that_is_too_wide_the_bias_is_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "WIDEST", 4)
    model = parse("(float[1,3,6,6] x) => (float[1,4,6,6] y) { a = Conv(x, w) b = Relu(a) y = Conv(b, v) }",
                  w=draw(8, 3, 1, 1), v=draw(4, 8, 1, 1))  # fmt: skip
    original, samples = model.clone(), samples_of(model)
    context = Context(calibration=samples)
    run_pipeline(model, parse_pipeline("prune-channels{ratio=0.25,multiple=1}"), context)
    before, weight = error(original, model, samples), model.graph[2].inputs[1]
    assert weight is not None
    data = weight.const_value
    run_pipeline(model, parse_pipeline("repair"), context)
    assert weight.const_value is data
    assert len(model.graph[2].inputs) == 3
    assert error(original, model, samples) < 0.95 * before


def test_a_correction_that_lives_on_cancellation_is_not_used() -> None:
    """Two columns that are alike but for noise on the samples: their difference would explain anything."""
    random = np.random.default_rng(0)
    x = np.repeat(random.standard_normal((1, 4000, 1)), 2, axis=2) + 1e-3 * random.standard_normal((1, 4000, 2))
    wanted = 1e3 * (x[..., :1] - x[..., 1:])
    regression = Regression(Sums.zero(1, 2, 1), Sums.zero(1, 2, 1), 0)
    for sums in (regression.fitted, regression.held_out):
        sums.add(x.astype(np.float32), wanted.astype(np.float32), wanted.astype(np.float32))
    assert regression.fitted.strength(regression.fitted.solve(1e-5, 0)) > 10
    correction, before, after = regression.solve()
    assert correction is None or regression.fitted.strength(correction) <= 1
    assert after <= before


def test_nothing_to_do() -> None:
    model = parse("(float[1,3,6,6] x) => (float[1,4,6,6] y) { y = Conv(x, w) }", w=draw(4, 3, 1, 1))
    before, context = print_model(model), Context(calibration=samples_of(model))
    assert not run_pipeline(model, parse_pipeline("repair"), context)[0].modified
    assert print_model(model) == before
    assert context.notes[0].lines() == ["repair: nothing to do, every layer computes what it did"]


@pytest.mark.parametrize(
    ("text", "samples", "code"),
    [
        ("repair", None, "no-calibration"),
        ("repair", 3, "bad-calibration"),
        ("repair{samples=3}", 8, "bad-samples"),
        ("repair{samples=-1}", 8, "bad-samples"),
    ],
)
def test_bad_options_and_data(text: str, samples: int | None, code: str) -> None:
    model = parse("(float[1,3,6,6] x) => (float[1,4,6,6] y) { y = Conv(x, w) }", w=draw(4, 3, 1, 1))
    with pytest.raises(HetpartError) as caught:
        run_pipeline(model, parse_pipeline(text), Context(calibration=samples and samples_of(model, samples)))
    assert caught.value.code == code
