"""prune-channels: the pruned model is the original with the dropped channels hidden, and options are checked."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import zoo
from hetpart.calibration import calibration
from hetpart.errors import HetpartError
from hetpart.frontend import import_model
from hetpart.passes.base import Context
from hetpart.passes.edit import Array
from hetpart.passes.pipeline import optimisation_level, parse_pipeline, run_pipeline
from hetpart.passes.pruning.groups import find_groups
from hetpart.passes.pruning.labels import Labels
from hetpart.passes.pruning.rules import label
from hetpart.passes.pruning.surgery import blank, cut, unshare
from hetpart.passes.verify import verify_model
from tests.numerics import relative_error
from tests.passes.support import draw, evaluate, inputs, parse

SMALL = ("bert_tiny", "mobilenetv3_small", "shufflenetv2", "squeezenet")
TOLERANCE = 1e-5


def canonical(proto: onnx.ModelProto) -> ir.Model:
    model = import_model(proto)
    run_pipeline(model, optimisation_level("O1"))
    return model


def check_exact(model: ir.Model, feeds: dict[str, Array], share: float, seed: int) -> Labels:
    """Drop random channels of every group that allows it; returns their labels."""
    random = np.random.default_rng(seed)
    unshare(model.graph)
    labelling = label(model.graph)
    free = [group for group in find_groups(model.graph, labelling) if group.frozen is None]
    dropped = np.concatenate(
        [np.empty(0, np.int64), *(random.permutation(g.labels)[: math.floor(share * len(g))] for g in free)]
    )
    data = {value: value.const_value for value in model.graph.initializers.values()}
    blank(labelling, dropped)
    expected = evaluate(model, feeds)
    for value, tensor in data.items():
        value.const_value = tensor
    cut(model.graph, labelling, dropped)
    verify_model(model, canonical=True)
    for actual, reference in zip(evaluate(model, feeds), expected, strict=True):
        assert relative_error(actual, reference) <= TOLERANCE
    return dropped


@pytest.mark.parametrize("name", SMALL)
def test_small_network(name: str) -> None:
    proto = zoo.build(name)
    assert len(check_exact(canonical(proto), zoo.inputs(proto, 0), 0.5, 0)) > 200


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in zoo.names() if name not in SMALL])
def test_large_network(name: str) -> None:
    proto = zoo.build(name)
    assert len(check_exact(canonical(proto), zoo.inputs(proto, 0), 0.4, 1)) > 100


LAYERS = st.lists(
    st.sampled_from(
        ["conv", "depthwise", "multiplied", "grouped", "residual", "concat", "shuffle", "transposed", "split", "norm",
         "gate", "slice", "depth_to_space", "mean"]
    ),
    min_size=1,
    max_size=5,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(layers=LAYERS, seed=st.integers(0, 2**16), share=st.sampled_from([0.25, 0.5, 0.75]))
def test_random_networks(layers: list[str], seed: int, share: float) -> None:
    model = random_network(layers, seed)
    run_pipeline(model, optimisation_level("O1"))
    check_exact(model, inputs(model, seed), share, seed)


def random_network(layers: list[str], seed: int) -> ir.Model:
    """A chain of blocks on 8 channels between two convolutions and a classifier."""
    text, weights, value = ["v0 = Conv<pads=[1,1,1,1]>(x, w0)"], {"w0": draw(8, 3, 3, 3, seed=seed)}, "v0"

    def weight(*shape: int) -> str:
        name = f"w{len(weights)}"
        weights[name] = draw(*shape, seed=seed + len(weights)) / math.sqrt(math.prod(shape[1:]))
        return name

    def integers(*numbers: int) -> str:
        name = f"w{len(weights)}"
        weights[name] = np.array(numbers, np.int64)
        return name

    for index, layer in enumerate(layers, 1):
        out, a, b = f"v{index}", f"a{index}", f"b{index}"
        match layer:
            case "conv":
                text.append(f"{a} = Conv({value}, {weight(8, 8, 1, 1)}, {weight(8)}) {out} = HardSwish({a})")
            case "depthwise":
                text.append(f"{a} = Conv<group=8,pads=[1,1,1,1]>({value}, {weight(8, 1, 3, 3)}) {out} = Sigmoid({a})")
            case "multiplied":
                text.append(f"{a} = Conv<group=8>({value}, {weight(16, 1, 1, 1)})")
                text.append(f"{out} = Conv({a}, {weight(8, 16, 1, 1)})")
            case "grouped":
                text.append(f"{a} = Conv({value}, {weight(8, 8, 1, 1)}) {b} = Relu({a})")
                text.append(f"{out} = Conv<group=2>({b}, {weight(8, 4, 1, 1)})")
            case "residual":
                text.append(f"{a} = Conv({value}, {weight(8, 8, 1, 1)}) {b} = Tanh({a}) {out} = Add({b}, {value})")
            case "concat":
                text.append(f"{a} = Conv({value}, {weight(4, 8, 1, 1)}) {b} = Concat<axis=1>({a}, {value})")
                text.append(f"{out} = Conv({b}, {weight(8, 12, 1, 1)})")
            case "shuffle":
                text.append(f"{a} = Reshape({value}, {integers(1, 2, 4, 6, 6)})")
                text.append(f"{b} = Transpose<perm=[0,2,1,3,4]>({a}) {out} = Reshape({b}, {integers(1, 8, 6, 6)})")
            case "transposed":
                text.append(f"{a} = ConvTranspose({value}, {weight(8, 6, 1, 1)}, {weight(6)})")
                text.append(f"{out} = Conv({a}, {weight(8, 6, 1, 1)})")
            case "split":
                text.append(f"{a}, {b} = Split<axis=1>({value}, {integers(3, 5)}) {out} = Concat<axis=1>({b}, {a})")
            case "norm":
                text.append(f"{out} = InstanceNormalization({value}, {weight(8)}, {weight(8)})")
            case "gate":
                text.append(f"{a} = GlobalAveragePool({value}) {b} = Conv({a}, {weight(8, 8, 1, 1)})")
                text.append(f"{out} = Mul({value}, {b})")
            case "slice":
                text.append(f"{a} = Conv({value}, {weight(12, 8, 1, 1)})")
                text.append(f"{out} = Slice({a}, {integers(-9)}, {integers(-1)}, {integers(1)})")
            case "depth_to_space":
                text.append(f"{a} = Conv({value}, {weight(16, 8, 1, 1)}) {b} = DepthToSpace<blocksize=2>({a})")
                text.append(f"{out} = Conv<strides=[2,2]>({b}, {weight(8, 4, 2, 2)})")
            case "mean":
                text.append(f"{a} = ReduceMean({value}, {integers(1)}) {out} = Mul({value}, {a})")
        value = out
    text.append(f"f = Flatten({value}) y = Gemm(f, {weight(8 * 36, 5)}, {weight(5)})")
    return parse(f"(float[1,3,6,6] x) => (float[1,5] y) {{ {' '.join(text)} }}", **weights)


def two_layers() -> ir.Model:
    """Channel i of four has weights of size i + 1, and the two last are ten times as large."""
    size = np.array([1, 2, 30, 40], np.float32)
    first = draw(4, 3, 1, 1) * size.reshape(4, 1, 1, 1)
    second = np.ones((2, 4, 1, 1), np.float32)
    return parse("(float[1,3,5,5] x) => (float[1,2,5,5] y) { a = Conv(x, w) b = Relu(a) y = Conv(b, v) }",
                 w=first, v=second)  # fmt: skip


def weight_of(model: ir.Model, index: int) -> Array:
    value = model.graph[index].inputs[1]
    assert value is not None
    assert value.const_value is not None
    return value.const_value.numpy()


@pytest.mark.parametrize("measure", ["l1", "l2"])
def test_the_least_important_channels_go(measure: str) -> None:
    model, first = two_layers(), weight_of(two_layers(), 0)
    passes = parse_pipeline(f"prune-channels{{ratio=0.5,multiple=1,importance={measure}}}")
    assert run_pipeline(model, passes, verify_each=True)[0].modified
    np.testing.assert_array_equal(weight_of(model, 0), first[2:])
    assert weight_of(model, 2).shape == (2, 2, 1, 1)


def test_importance_by_activation_sees_channels_that_are_silent() -> None:
    """Channels 2 and 3 have the largest weights, but nothing of them passes the activation."""
    text = "(float[1,3,5,5] x) => (float[1,2,5,5] y) { a = Conv(x, w, c) b = Relu(a) y = Conv(b, v) }"
    first = two_layers_weight()
    model = parse(text, w=first, c=np.array([0, 0, -999, -999], np.float32), v=np.ones((2, 4, 1, 1), np.float32))
    context = Context(calibration=calibration({"x": draw(4, 3, 5, 5)}, model))
    run_pipeline(model, parse_pipeline("prune-channels{ratio=0.5,multiple=1,importance=activation}"), context)
    np.testing.assert_array_equal(weight_of(model, 0), first[:2])


@pytest.mark.parametrize(
    ("reader", "shape"),
    [
        ("y = Conv<group=2>(b, v)", (4, 4, 1, 1)),
        ("y = ConvTranspose(b, v)", (8, 4, 1, 1)),
        ("f = Flatten(b) y = Gemm(f, v)", (8 * 25, 4)),
        ("t = Transpose<perm=[0,2,3,1]>(b) y = MatMul(t, v)", (8, 4)),
        ("r = Reshape(b, s) y = MatMul(v, r)", (4, 8)),
    ],
)
def test_importance_by_activation_reads_the_channels_of_every_operator(reader: str, shape: tuple[int, ...]) -> None:
    """Equal weights everywhere; channels differ by what is added to them, all of the last four being silent."""
    text = f"(float[1,3,5,5] x) => (float[1,4,5,5] y) {{ a = Conv(x, w, c) b = Relu(a) {reader} }}"
    bias = np.array([9, 8, 7, 6, -99, -99, -99, -99], np.float32)
    bias = bias.reshape(2, 4).T.reshape(-1) if "group" in reader else bias  # groups lose the same positions
    model = parse(text, w=np.ones((8, 3, 1, 1), np.float32), c=bias, v=np.ones(shape, np.float32), s=np.array([8, 25]))
    context = Context(calibration=calibration({"x": draw(4, 3, 5, 5)}, model))
    run_pipeline(model, optimisation_level("O1"))
    run_pipeline(model, parse_pipeline("prune-channels{ratio=0.5,multiple=1,importance=activation}"), context)
    left = model.graph[0].inputs[2]
    assert left is not None
    assert left.const_value is not None
    assert left.const_value.numpy().shape == (4,)
    assert left.const_value.numpy().min() > 0


def test_importance_by_the_scale_of_batch_normalisations_that_were_folded() -> None:
    text = """(float[1,3,5,5] x) => (float[1,2,5,5] y)
              { a = Conv(x, w) n = BatchNormalization(a, g, t, t, o) b = Relu(n) y = Conv(b, v) }"""
    first = two_layers_weight()
    model = parse(text, w=first, g=np.array([3, -4, 1, 2], np.float32), t=np.zeros(4, np.float32),
                  o=np.array([9, 9, 1e-3, 1e-3], np.float32), v=np.ones((2, 4, 1, 1), np.float32))  # fmt: skip
    run_pipeline(model, optimisation_level("O1"))
    assert len(model.graph) == 3
    folded = weight_of(model, 0)
    passes = parse_pipeline("prune-channels{ratio=0.34,multiple=1,importance=bn}")
    for left in ([0, 1, 3], [0, 1]):
        run_pipeline(model, passes)
        np.testing.assert_array_equal(weight_of(model, 0), folded[left])


def two_layers_weight() -> Array:
    return weight_of(two_layers(), 0)


def test_a_layer_keeps_a_multiple_of_the_vector_width() -> None:
    model, context = two_layers(), Context(block=4)
    assert not run_pipeline(model, parse_pipeline("prune-channels{ratio=0.5}"), context)[0].modified
    first, last = context.notes[0].to_json()["groups"]
    assert first["reason"] == "4 channels leave no multiple of 4 to remove"
    assert last["reason"] == "the model's output 'y' has it"


def test_a_group_without_gain_stays() -> None:
    context = Context("phone", 1, lambda model: 100.0)
    assert not run_pipeline(two_layers(), parse_pipeline("prune-channels{ratio=0.5}"), context)[0].modified
    assert "no gain on phone" in context.notes[0].to_json()["groups"][0]["reason"]


def test_channels_that_lie_unequally_often_in_a_weight_stay() -> None:
    """Position i of the 12 joined channels ends up in channel i % 3: the first layer's 8 split into 3, 3 and 2."""
    text = """(float[1,3,4,4] x) => (float[1,5,8,8] y) {
        a = Conv(x, w) b = Conv(x, v) c = Concat<axis=1>(a, b) d = DepthToSpace<blocksize=2>(c) y = Conv(d, u)
    }"""
    model, context = parse(text, w=draw(8, 3, 1, 1), v=draw(4, 3, 1, 1), u=draw(5, 3, 1, 1)), Context()
    assert not run_pipeline(model, parse_pipeline("prune-channels{multiple=1}"), context)[0].modified
    first, _ = context.notes[0].to_json()["groups"]
    assert "lie unequally often" in first["reason"]


def test_ratios_of_single_groups() -> None:
    model = two_layers()
    run_pipeline(model, parse_pipeline('prune-channels{multiple=1,layers="Conv_0:0.75"}'))
    assert weight_of(model, 0).shape == (1, 3, 1, 1)
    model = two_layers()
    assert not run_pipeline(model, parse_pipeline('prune-channels{multiple=1,layers="Conv_0:0"}'))[0].modified


def test_allocation_by_latency_prefers_what_saves_time() -> None:
    """Both hidden layers matter alike, but only the second one costs time."""
    text = "(float[1,3,5,5] x) => (float[1,2,5,5] y) { a = Conv(x, w) b = Conv(a, v) y = Conv(b, u) }"
    model = parse(text, w=draw(8, 3, 1, 1), v=draw(8, 8, 1, 1), u=draw(2, 8, 1, 1))

    def predict(probe: ir.Model) -> float:
        value = probe.graph[1].outputs[0]
        assert value.shape is not None
        return float(value.shape.numpy()[1])

    run_pipeline(model, parse_pipeline("prune-channels{ratio=0.25,allocate=latency}"), Context("phone", 1, predict))
    assert weight_of(model, 0).shape == (8, 3, 1, 1)
    assert weight_of(model, 1).shape == (4, 8, 1, 1)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("prune-channels{ratio=0}", "bad-ratio"),
        ("prune-channels{ratio=1.0}", "bad-ratio"),
        ("prune-channels{ratio=nan}", "bad-ratio"),
        ("prune-channels{multiple=-1}", "bad-multiple"),
        ("prune-channels{importance=size}", "unknown-importance"),
        ("prune-channels{importance=activation}", "no-calibration"),
        ("prune-channels{importance=bn}", "no-bn-scale"),
        ("prune-channels{allocate=fairly}", "unknown-allocation"),
        ("prune-channels{allocate=latency}", "no-target"),
        ('prune-channels{layers="Conv_0"}', "bad-ratio"),
        ('prune-channels{layers="Conv_0:2"}', "bad-ratio"),
        ('prune-channels{layers="Conv_7:0.5"}', "unknown-group"),
    ],
)
def test_bad_options(text: str, code: str) -> None:
    with pytest.raises(HetpartError) as caught:
        run_pipeline(two_layers(), parse_pipeline(text))
    assert caught.value.code == code
