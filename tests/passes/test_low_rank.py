"""low-rank: at full rank the model computes the same, below it the error is what was discarded; options are checked."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import zoo
from hetpart.errors import HetpartError
from hetpart.frontend import import_model
from hetpart.passes.base import Context
from hetpart.passes.edit import Array, Editor
from hetpart.passes.lowrank.candidates import schemes_of
from hetpart.passes.lowrank.decompose import SCHEMES, Spatial, Svd, Tucker
from hetpart.passes.lowrank.layers import Layer, find_layers
from hetpart.passes.lowrank.result import compose, distance
from hetpart.passes.lowrank.surgery import substitute
from hetpart.passes.pipeline import optimisation_level, parse_pipeline, run_pipeline
from hetpart.passes.verify import verify_model
from tests.numerics import relative_error
from tests.passes.support import draw, evaluate, inputs, operators, parse

SMALL = ("bert_tiny", "mobilenetv3_small", "squeezenet")
TOLERANCE = 1e-5


def canonical(proto: onnx.ModelProto) -> ir.Model:
    model = import_model(proto)
    run_pipeline(model, optimisation_level("O1"))
    return model


def split_at_full_rank(model: ir.Model, wide: str) -> int:
    """Split every layer, without losing anything; `wide` is the scheme of those with a kernel. Returns how many."""
    editor, count = Editor(model.graph), 0
    for layer in list(find_layers(model.graph)):
        if not isinstance(layer, Layer) or not (schemes := schemes_of(layer, "auto")):
            continue
        kind = SCHEMES[wide if wide in schemes else schemes[0]]
        ranks = kind.full(layer.shape)
        substitute(editor, layer.node, kind.shapes(layer.shape, ranks), kind(layer.weight).factors(ranks))
        count += 1
    return count


def check_exact(model: ir.Model, feeds: dict[str, Array], wide: str) -> int:
    expected, names = evaluate(model, feeds), [node.name for node in model.graph]
    count = split_at_full_rank(model, wide)
    verify_model(model, canonical=True)
    assert set(names) <= {node.name for node in model.graph}
    assert len(model.graph) >= len(names) + count
    for actual, reference in zip(evaluate(model, feeds), expected, strict=True):
        assert relative_error(actual, reference) <= TOLERANCE
    return count


@pytest.mark.parametrize("wide", ["tucker", "spatial"])
@pytest.mark.parametrize("name", SMALL)
def test_small_network_at_full_rank(name: str, wide: str) -> None:
    proto = zoo.build(name)
    assert check_exact(canonical(proto), zoo.inputs(proto, 0), wide) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("wide", ["tucker", "spatial"])
@pytest.mark.parametrize("name", [name for name in zoo.names() if name not in SMALL])
def test_large_network_at_full_rank(name: str, wide: str) -> None:
    proto = zoo.build(name)
    assert check_exact(canonical(proto), zoo.inputs(proto, 0), wide) >= 10


CONV = st.fixed_dictionaries(
    {
        "kernel": st.tuples(st.integers(1, 4), st.integers(1, 4)),
        "strides": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "dilations": st.tuples(st.integers(1, 2), st.integers(1, 2)),
        "pads": st.tuples(*[st.integers(0, 3)] * 4),
        "channels": st.integers(1, 9),
        "bias": st.booleans(),
    }
)


@settings(max_examples=60, deadline=None)
@given(
    convs=st.lists(CONV, min_size=1, max_size=2), wide=st.sampled_from(["tucker", "spatial"]), seed=st.integers(0, 99)
)
def test_random_convolutions_at_full_rank(convs: list[dict[str, Any]], wide: str, seed: int) -> None:
    text, weights, channels = [], {}, 3
    for index, conv in enumerate(convs):
        weights[f"w{index}"] = draw(conv["channels"], channels, *conv["kernel"], seed=seed)
        bias = ""
        if conv["bias"]:
            weights[f"b{index}"], bias = draw(conv["channels"], seed=seed), f", b{index}"
        attributes = ", ".join(f"{name}={list(conv[name])}" for name in ("strides", "dilations", "pads"))
        text.append(f"v{index + 1} = Conv<{attributes}>(v{index}, w{index}{bias})")
        channels = conv["channels"]
    # two of the widest kernels at the widest steps leave one pixel of 29
    model = parse(f"(float[2,3,31,29] v0) => (float[n,c,h,w] v{len(convs)}) {{ {' '.join(text)} }}", **weights)
    run_pipeline(model, optimisation_level("O1"))
    assert check_exact(model, inputs(model, seed), wide) == len(convs)


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 12), min_size=3, max_size=5), batch=st.integers(1, 4), bias=st.booleans())
def test_random_products_at_full_rank(sizes: list[int], batch: int, bias: bool) -> None:
    weights = {f"w{i}": draw(a, b) for i, (a, b) in enumerate(itertools.pairwise(sizes))}
    weights |= {f"b{i}": draw(b) for i, b in enumerate(sizes[1:])}
    last = len(sizes) - 1
    nodes = " ".join(
        f"v{i + 1} = Gemm(v{i}, w{i}, b{i})" if bias else f"v{i + 1} = MatMul(v{i}, w{i})" for i in range(last)
    )
    rows = f"{batch}" if bias else f"2,{batch}"
    model = parse(f"(float[{rows},{sizes[0]}] v0) => (float[n,m] v{last}) {{ {nodes} }}", **weights)
    assert check_exact(model, inputs(model), "tucker") == last


def low_rank_weight(outputs: int, inputs: int, rank: int) -> Array:
    return (draw(outputs, rank) @ draw(rank, inputs, seed=1)) / np.float32(math.sqrt(rank))


def test_all_energy_of_a_weight_of_low_rank_is_kept_at_that_rank() -> None:
    weight = low_rank_weight(64, 48, 7).reshape(64, 48, 1, 1)
    model = parse(
        "(float[1,48,5,5] x) => (float[1,64,3,3] y) { y = Conv<strides=[2,2]>(x, w, b) }", w=weight, b=draw(64)
    )
    feeds, context = inputs(model), Context()
    expected = evaluate(model, feeds)
    run_pipeline(model, parse_pipeline("low-rank{energy=1,multiple=1}"), context, verify_each=True)
    assert operators(model) == ["Conv", "Conv"]
    (layer,) = context.notes[0].to_json()["layers"]
    assert layer["ranks"] == (7,)
    assert layer["macs_before"] == 64 * 48 * 9
    assert layer["macs_after"] == 7 * (48 + 64) * 9
    assert layer["parameters_after"] == 7 * (48 + 64) == sum(v.const_value.size for v in _weights(model))
    assert relative_error(evaluate(model, feeds)[0], expected[0]) <= TOLERANCE


def test_all_energy_of_tucker_s_core_is_kept_at_its_ranks() -> None:
    core = np.einsum("op,pqyx,qi->oiyx", draw(40, 6), draw(6, 5, 3, 3), draw(5, 32), optimize=True)
    text = "(float[1,32,9,9] x) => (float[1,40,5,5] y) { y = Conv<pads=[1,1,1,1],strides=[2,2]>(x, w) }"
    model, context = parse(text, w=core.astype(np.float32)), Context()
    feeds = inputs(model)
    expected = evaluate(model, feeds)
    run_pipeline(model, parse_pipeline("low-rank{energy=1,multiple=1,scheme=tucker}"), context, verify_each=True)
    assert operators(model) == ["Conv"] * 3
    assert context.notes[0].to_json()["layers"][0]["ranks"] == (5, 6)
    assert relative_error(evaluate(model, feeds)[0], expected[0]) <= TOLERANCE


def _weights(model: ir.Model) -> list[Any]:
    return [node.inputs[1] for node in model.graph]


@pytest.mark.parametrize(("outputs", "inputs_"), [(12, 30), (30, 12)])
def test_the_error_is_the_discarded_singular_values(outputs: int, inputs_: int) -> None:
    weight = draw(outputs, inputs_)
    values = np.linalg.svd(weight.astype(np.float64), compute_uv=False)
    split = Svd(weight)
    for rank in range(1, 13):
        lost = np.sum(values[rank:] ** 2) / np.sum(values**2)
        assert 1 - split.kept((rank,)) == pytest.approx(lost, abs=1e-12)
        assert distance(compose(split.factors((rank,))), weight) ** 2 == pytest.approx(lost, abs=1e-12)


def test_the_error_of_the_spatial_scheme_is_the_discarded_singular_values() -> None:
    weight = draw(5, 4, 3, 2)
    matrix = np.moveaxis(weight, (1, 2), (0, 1)).reshape(12, 10).astype(np.float64)
    values = np.linalg.svd(matrix, compute_uv=False)
    split = Spatial(weight)
    for rank in range(1, 11):
        lost = np.sum(values[rank:] ** 2) / np.sum(values**2)
        assert 1 - split.kept((rank,)) == pytest.approx(lost, abs=1e-12)
        assert distance(compose(split.factors((rank,))), weight) ** 2 == pytest.approx(lost, abs=1e-12)


def test_hooi_is_never_worse_than_hosvd() -> None:
    """And with one side whole there is nothing to better: HOSVD is the optimum, the discarded values of the other."""
    weight = draw(10, 8, 3, 3)
    split = Tucker(weight)
    for inputs_, outputs in itertools.product((1, 3, 5, 8), (1, 4, 7, 10)):
        error = distance(compose(split.factors((inputs_, outputs))), weight)
        assert error**2 <= 1 - split.kept((inputs_, outputs)) + 1e-12
    values = np.linalg.svd(weight.reshape(10, -1).astype(np.float64), compute_uv=False)
    lost = np.sum(values[4:] ** 2) / np.sum(values**2)
    assert 1 - split.kept((None, 4)) == pytest.approx(lost, abs=1e-12)
    assert distance(compose(split.factors((None, 4))), weight) ** 2 == pytest.approx(lost, abs=1e-12)


def count(model: ir.Model) -> tuple[int, int]:
    """Numbers in weights of two and more axes, and multiply-adds, by ONNX's own shape inference."""
    proto = onnx.shape_inference.infer_shapes(ir.to_proto(model), strict_mode=True)
    shapes = {i.name: tuple(i.dims) for i in proto.graph.initializer}
    weights = sum(math.prod(shape) for shape in shapes.values() if len(shape) > 1)
    for value in [*proto.graph.value_info, *proto.graph.output]:
        shapes[value.name] = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    macs = 0
    for node in proto.graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            weight = shapes[node.input[1]]
            depth = math.prod(weight[1:]) if node.op_type == "Conv" else weight[0]
            macs += math.prod(shapes[node.output[0]]) * depth
    return weights, macs


@pytest.mark.parametrize("options", ["energy=0.6", "ratio=0.5", "ratio=0.4,scheme=spatial", "ratio=0.4,scheme=tucker"])
def test_counts_agree_with_an_independent_count(options: str) -> None:
    model, context = canonical(zoo.build("squeezenet")), Context()
    before = count(model)
    run_pipeline(model, parse_pipeline(f"low-rank{{{options}}}"), context, verify_each=True)
    after = count(model)
    layers: list[dict[str, Any]] = context.notes[0].to_json()["layers"]
    assert sum(layer["scheme"] is not None for layer in layers) >= 5
    assert sum(n["parameters_before"] - n["parameters_after"] for n in layers) == before[0] - after[0] > 0
    assert sum(n["macs_before"] for n in layers) == before[1]
    assert sum(n["macs_after"] for n in layers) == after[1] < before[1]
    for layer in layers:
        if layer["scheme"] is not None and options.startswith("ratio"):
            assert layer["parameters_after"] <= (0.5 if "0.5" in options else 0.4) * layer["parameters_before"]
        assert all(rank is None or rank % 8 == 0 for rank in layer["ranks"])


def test_the_factors_survive_other_passes_and_a_second_import() -> None:
    model = canonical(zoo.build("squeezenet"))
    run_pipeline(model, parse_pipeline("low-rank{ratio=0.5}"))
    again = ir.from_proto(ir.to_proto(model))
    run_pipeline(again, optimisation_level("O1"))
    assert Counter(operators(again)) == Counter(operators(model))
    imported = canonical(ir.to_proto(model))
    assert Counter(operators(imported)) == Counter(operators(model))


def test_layers_that_were_pruned_are_split() -> None:
    model, context = canonical(zoo.build("squeezenet")), Context()
    passes = parse_pipeline("prune-channels{ratio=0.3},low-rank{ratio=0.5}")
    records = run_pipeline(model, passes, context, verify_each=True)
    assert [record.modified for record in records] == [True, True]


def reasons(model: ir.Model, options: str = "multiple=1", context: Context | None = None) -> dict[str, str]:
    """Why each layer stays, after a run that must change nothing."""
    context = context or Context()
    before = ir.to_proto(model).SerializeToString()
    assert not run_pipeline(model, parse_pipeline(f"low-rank{{{options}}}"), context)[0].modified
    assert ir.to_proto(model).SerializeToString() == before
    note = context.notes[0]
    assert "nothing to do" in note.lines()[0]
    layers: list[dict[str, Any]] = note.to_json()["layers"]
    assert all(layer["scheme"] is None for layer in layers)
    assert all(f"{layer['name']} stays: {layer['reason']}" in "\n".join(note.lines()) for layer in layers)
    return {layer["name"]: layer["reason"] for layer in layers}


def test_what_stays_is_named_with_the_reason() -> None:
    bad, zeros = draw(8, 8, 1, 1), np.zeros((8, 8, 1, 1), np.float32)
    bad[0, 0] = np.nan
    model = parse(
        "(float[1,8,8,8] x) => (float[1,8,8,8] a, float[1,8,8,8] b, float[1,6,8,8] c, float[1,8,8,8] d,"
        " float[1,8,8,8] e) { a = Conv<group=8>(x, w) b = Conv<group=2>(x, v) c = ConvTranspose(x, t)"
        " d = Conv(x, bad) e = Conv(x, zeros) }",
        w=draw(8, 1, 1, 1), v=draw(8, 4, 1, 1), t=draw(8, 6, 1, 1), bad=bad, zeros=zeros,
    )  # fmt: skip
    assert list(reasons(model).values()) == [
        "a depthwise convolution", "a grouped convolution (2 groups)", "a transposed convolution",
        "its weight has NaN or infinity", "its weight is all zeros",
    ]  # fmt: skip


def test_products_that_stay_are_named_with_the_reason() -> None:
    model = parse(
        "(float[1,4,8] x, float[4,4] z) => (float[1,4,8] a, float[1,4,8] b, float[1,4,8] c, float[1,4,8] d)"
        " { a = MatMul(z, x) b = MatMul(w, x) c = MatMul(x, v) q = DequantizeLinear(i, s) d = MatMul(x, q) }",
        w=draw(4, 4), v=draw(1, 8, 8), i=np.ones((8, 8), np.int8), s=np.float32(0.5),
    )  # fmt: skip
    assert list(reasons(model).values()) == [
        "its weight is not constant", "its constant is the left operand", "its weight has 3 axes, not 2",
        "its weight is quantised",
    ]  # fmt: skip


def one_layer(outputs: int = 64, inputs_: int = 64) -> ir.Model:
    return parse(f"(float[2,{inputs_}] x) => (float[2,{outputs}] y) {{ y = Gemm(x, w, b) }}",
                 w=draw(inputs_, outputs), b=draw(outputs))  # fmt: skip


def test_a_layer_whose_factors_would_be_larger_stays() -> None:
    assert "more work" in reasons(one_layer(), "energy=0.99")["Gemm_0"]
    assert reasons(one_layer(), "energy=0.9999")["Gemm_0"] == "no smaller rank keeps 99.99 % of its energy"
    assert reasons(one_layer(8), "ratio=0.1")["Gemm_0"] == "its full rank 8 leaves no smaller multiple of 8"
    assert reasons(one_layer(16), "ratio=0.1")["Gemm_0"] == "no rank is left that has 10 % of its parameters"
    assert reasons(one_layer(), "scheme=spatial")["Gemm_0"] == "spatial does not apply to a Gemm"


def test_a_model_without_layers_is_said_to_have_none() -> None:
    model, nothing = parse("(float[2] x) => (float[2] y) { y = Relu(x) }"), Context()
    assert not run_pipeline(model, parse_pipeline("low-rank"), nothing)[0].modified
    assert nothing.notes[0].lines() == ["low-rank: nothing to do, there is no convolution and no product"]


def test_a_layer_without_gain_on_the_target_stays() -> None:
    slower = Context("phone", 8, lambda model: 100.0 * len(model.graph))
    found = reasons(one_layer(), "ratio=0.5", slower)
    assert found == {"Gemm_0": "no gain on phone: 100 us slower by estimate (svd, rank 16 of 64)"}


def parameters_of(model: ir.Model) -> float:
    """A target on which time is the number of parameters."""
    used = {v for node in model.graph for v in node.inputs if v is not None and v.is_initializer()}
    return float(sum(math.prod(v.shape.numpy()) for v in used if v.shape is not None))


def test_gain_saves_what_was_asked_for_where_least_is_lost() -> None:
    """One layer is nearly of rank 8, the other one has a flat spectrum: the first pays for both."""
    easy = low_rank_weight(64, 64, 8) + 0.01 * draw(64, 64, seed=5)
    text = "(float[2,64] x) => (float[2,64] y) { t = MatMul(x, w) y = MatMul(t, v) }"
    model, context = parse(text, w=draw(64, 64, seed=3), v=easy), Context("phone", 8, parameters_of)
    run_pipeline(model, parse_pipeline("low-rank{gain=0.3}"), context, verify_each=True)
    note = context.notes[0].to_json()
    hard, cheap = note["layers"]
    assert hard["reason"] == "others gain more for less"
    assert cheap["ranks"] == (8,)
    assert note["after_us"] == parameters_of(model) == 64 * 64 + 2 * 8 * 64
    assert note["after_us"] <= 0.7 * note["before_us"]
    assert "asked for -30 %" in context.notes[0].lines()[1]


def test_gain_takes_all_there_is_where_more_is_asked_for() -> None:
    model, context = one_layer(), Context("phone", 8, parameters_of)
    run_pipeline(model, parse_pipeline("low-rank{gain=0.9}"), context)
    note = context.notes[0].to_json()
    assert note["layers"][0]["gain_us"] > 0
    assert note["after_us"] > 0.1 * note["before_us"]


@pytest.mark.parametrize("rule", ["energy=0.8", "ratio=0.5", "gain=0.1"])
def test_auto_is_at_least_as_good_as_each_scheme(rule: str) -> None:
    after = {}
    for scheme in ("auto", "tucker", "spatial"):
        text = "(float[1,32,9,9] x) => (float[1,64,9,9] y) { y = Conv<pads=[1,1,1,1]>(x, w) }"
        smooth = draw(64, 32, 3, 3) * np.array([0.3, 1, 0.3], np.float32) * (1 / (1 + np.arange(32))).reshape(32, 1, 1)
        model, context = parse(text, w=smooth.astype(np.float32)), Context("phone", 8, parameters_of)
        assert run_pipeline(model, parse_pipeline(f"low-rank{{{rule},scheme={scheme}}}"), context)[0].modified
        note = context.notes[0].to_json()
        layer = note["layers"][0]
        after[scheme] = layer["weight_error"] if rule.startswith("ratio") else note["after_us"]
    if not rule.startswith("gain"):  # there the least energy is lost that saves enough, which may save less
        assert after["auto"] == min(after.values())


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("energy=0", "bad-energy"),
        ("energy=1.01", "bad-energy"),
        ("energy=nan", "bad-energy"),
        ("ratio=0", "bad-ratio"),
        ("ratio=1", "bad-ratio"),
        ("ratio=-0.5", "bad-ratio"),
        ("gain=1", "bad-gain"),
        ("gain=0.1", "no-target"),
        ("energy=0.9,ratio=0.5", "bad-rank"),
        ("ratio=0.5,gain=0.5", "bad-rank"),
        ("scheme=cp", "unknown-scheme"),
        ("multiple=-8", "bad-multiple"),
        ("rank=8", "unknown-option"),
    ],
)
def test_bad_options(options: str, code: str) -> None:
    with pytest.raises(HetpartError) as caught:
        run_pipeline(one_layer(), parse_pipeline(f"low-rank{{{options}}}"))
    assert caught.value.code == code


def test_float16_weights_give_float16_factors() -> None:
    weight = low_rank_weight(32, 32, 4).astype(np.float16)
    model = parse("(float16[2,32] x) => (float16[2,32] y) { y = MatMul(x, w) }", w=weight)
    run_pipeline(model, parse_pipeline("low-rank{energy=0.999,multiple=4}"), verify_each=True)
    assert operators(model) == ["MatMul", "MatMul"]
    feeds = inputs(model)
    expected = feeds["x"].astype(np.float64) @ weight.astype(np.float64)
    assert relative_error(evaluate(model, feeds)[0].astype(np.float64), expected) <= 2e-3
