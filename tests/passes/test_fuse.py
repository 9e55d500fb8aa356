"""Units: what is absorbed and what is not, invariants on random graphs, and the same numbers as the whole model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hetpart.errors import HetpartError, InternalError
from hetpart.graph.epilogue import Step
from hetpart.graph.evaluate import apply_steps
from hetpart.graph.extract import unit_model
from hetpart.graph.units import Unit, UnitGraph
from hetpart.passes.fuse import fuse
from hetpart.passes.pipeline import optimisation_level, run_pipeline
from tests.numerics import relative_error
from tests.passes.support import draw, evaluate, inputs, parse, positive

CONV = {"w": draw(4, 4, 1, 1), "v": draw(4, 4, 1, 1, seed=1)}
IMAGE = "float[1,4,6,6] x"


def fused(text: str, **constants: np.ndarray) -> UnitGraph:
    """Units of a model, with their invariants and numbers checked."""
    model = parse(text, **constants)
    run_pipeline(model, optimisation_level("O1"), verify_each=True)
    graph = fuse(model)
    check(graph)
    return graph


def check(graph: UnitGraph) -> None:
    """Every node in one unit, and computing them one by one gives the model's outputs."""
    nodes = [node for unit in graph for node in unit.nodes]
    assert len(nodes) == len(set(nodes))
    assert set(nodes) == set(graph.model.graph)
    for unit in graph:
        assert len(set(unit.inputs)) == len(unit.inputs)
        assert not any(graph.is_constant(value) for value in unit.inputs)
        activations = [value for value in unit.operands if not graph.is_constant(value)]
        assert set(activations) <= set(unit.inputs)
        assert all(step.operand is None or step.operand < len(unit.operands) for step in unit.steps)
    feeds = inputs(graph.model)
    values = run_units(graph, feeds)
    for name, expected in zip(graph.outputs, evaluate(graph.model, feeds), strict=True):
        assert relative_error(values[name], expected) <= 1e-5, name


def run_units(graph: UnitGraph, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All values between units: anchors by onnxruntime, epilogues by the definition of their steps."""
    values = dict(feeds)
    for unit in graph:
        if unit.kind == "eltwise":
            acc = values[unit.inputs[0]]
        else:
            anchor = anchor_only(graph, unit) if unit.steps else unit
            results = evaluate(unit_model(graph, anchor), {name: values[name] for name in anchor.inputs})
            values.update(zip(unit.outputs, results, strict=True))
            acc = results[0]
        if unit.steps:
            operands = [graph.constant(v) if graph.is_constant(v) else values[v] for v in unit.operands]
            values[unit.outputs[0]] = apply_steps(acc, unit.steps, operands)
    return values


def anchor_only(graph: UnitGraph, unit: Unit) -> Unit:
    names = [value.name or "" for value in unit.anchor.inputs if value is not None]
    reads = tuple(dict.fromkeys(name for name in names if not graph.is_constant(name)))
    output = unit.anchor.outputs[0].name or ""
    return replace(unit, nodes=(unit.anchor,), inputs=reads, outputs=(output,), steps=(), operands=())


def summary(graph: UnitGraph) -> list[tuple[str, str]]:
    return [(unit.kind, unit.op) for unit in graph]


def test_epilogue_in_full() -> None:
    graph = fused(
        f"({IMAGE}, float[1,4,6,6] r) => (float y)"
        "{ c = Conv(x, w) g = Gelu(c) s = Mul(g, k) t = Add(r, s) y = Clip(t, lo, hi) }",
        w=CONV["w"], k=draw(4, 1, 1), lo=np.float32(-0.5), hi=np.float32(0.75),
    )  # fmt: skip
    (unit,) = graph
    assert unit.kind == "conv"
    assert unit.name == unit.anchor.name == "Conv_0"
    assert unit.inputs == ("x", "r")
    assert unit.outputs == ("y",)
    assert unit.operands == ("k", "r")
    assert unit.steps == (Step("gelu"), Step("mul", operand=0), Step("add", operand=1), Step("clip", (-0.5, 0.75)))


STEPS = {
    "Relu(c)": [Step("relu")],
    "Softplus(c)": [Step("softplus")],
    "HardSwish(c)": [Step("hardswish")],
    'Gelu<approximate="tanh">(c)': [Step("gelu_tanh")],
    "LeakyRelu<alpha=0.25>(c)": [Step("leaky_relu", (0.25,))],
    "LeakyRelu(c)": [Step("leaky_relu", (0.01,))],
    "Elu(c)": [Step("elu", (1.0,))],
    "HardSigmoid<alpha=0.25>(c)": [Step("hard_sigmoid", (0.25, 0.5))],
    "PRelu(c, number)": [Step("leaky_relu", (0.5,))],
    "PRelu(c, slopes)": [Step("prelu", operand=0)],
    "Min(c, number)": [Step("clip", (-np.inf, 0.5))],
    "Mul(c, c)": [Step("square")],
    "Add(c, c)": [Step("mul_const", (2.0,))],
    "Sub(number, c)": [Step("neg"), Step("add_const", (0.5,))],
    "Pow(c, third)": [Step("pow_const", (3.0,))],
    "Div(c, third)": [Step("div", operand=0)],
    "Div(slopes, c)": [Step("div", operand=0, reverse=True)],
    "Sub(slopes, c)": [Step("sub", operand=0, reverse=True)],
    "Max(slopes, c)": [Step("max", operand=0)],
}


@pytest.mark.parametrize("expression", STEPS)
def test_step(expression: str) -> None:
    graph = fused(
        f"({IMAGE}) => (float y)"
        f"{{ p = MaxPool<kernel_shape=[1,1]>(x) c = InstanceNormalization(p, s, b) y = {expression} }}",
        s=positive(4), b=draw(4), number=np.float32(0.5), third=np.float32(3), slopes=draw(4, 1, 1),
    )  # fmt: skip
    pool, unit = graph
    assert (pool.kind, pool.steps) == ("pool", ())
    assert unit.kind == "instance_norm"
    assert list(unit.steps) == STEPS[expression]


def test_silu_is_one_step_of_two_nodes() -> None:
    graph = fused(f"({IMAGE}) => (float y) {{ c = Conv(x, w) s = Sigmoid(c) m = Mul(s, c) y = Tanh(m) }}", **CONV)
    (unit,) = graph
    assert unit.steps == (Step("silu"), Step("tanh"))
    assert unit.op == "Conv+Sigmoid+Mul+Tanh"


def test_silu_of_a_value_that_is_read_elsewhere_starts_a_unit() -> None:
    graph = fused(f"({IMAGE}) => (float y, float c) {{ c = Conv(x, w) s = Sigmoid(c) y = Mul(c, s) }}", w=CONV["w"])
    assert summary(graph) == [("conv", "Conv"), ("eltwise", "Sigmoid+Mul")]


def test_sigmoid_that_is_read_elsewhere_is_no_silu() -> None:
    graph = fused(f"({IMAGE}) => (float y, float s) {{ c = Conv(x, w) s = Sigmoid(c) y = Mul(c, s) }}", w=CONV["w"])
    assert summary(graph) == [("conv", "Conv"), ("eltwise", "Sigmoid"), ("eltwise", "Mul")]


def test_later_conv_takes_the_residual() -> None:
    graph = fused(
        f"({IMAGE}) => (float y) {{ a = Conv(x, w) b = Conv(x, v) c = Relu(a) d = Add(c, b) y = Relu(d) }}", **CONV
    )
    first, second = graph
    assert first.op == "Conv+Relu"
    assert second.op == "Conv+Add+Relu"
    assert second.inputs == ("x", "c")


def test_value_with_two_readers_ends_the_unit() -> None:
    graph = fused(
        f"({IMAGE}) => (float y, float z) {{ c = Conv(x, w) r = Relu(c) y = Tanh(r) z = Neg(r) }}", w=CONV["w"]
    )
    assert summary(graph) == [("conv", "Conv+Relu"), ("eltwise", "Tanh"), ("eltwise", "Neg")]


def test_graph_output_ends_the_unit() -> None:
    graph = fused(f"({IMAGE}) => (float y, float c) {{ c = Conv(x, w) y = Relu(c) }}", w=CONV["w"])
    assert summary(graph) == [("conv", "Conv"), ("eltwise", "Relu")]


def test_squeeze_and_excitation() -> None:
    graph = fused(
        f"({IMAGE}) => (float y) {{ c = Conv(x, w) g = GlobalAveragePool(c) e = Conv(g, v) h = HardSigmoid(e)"
        " m = Mul(h, c) y = Conv(m, u) }",
        u=draw(4, 4, 1, 1, seed=2), **CONV,
    )  # fmt: skip
    assert [kind for kind, _ in summary(graph)] == ["conv", "global_pool", "conv", "eltwise", "conv"]
    scale = graph.units["Mul_4"]
    assert scale.inputs == ("c", "h")
    assert scale.steps == (Step("mul", operand=0),)


def test_excitation_as_operand_of_the_conv_that_it_scales() -> None:
    graph = fused(f"({IMAGE}, float[1,4,1,1] h) => (float y) {{ c = Conv(x, w) y = Mul(h, c) }}", w=CONV["w"])
    (unit,) = graph
    assert unit.steps == (Step("mul", operand=0),)
    assert unit.inputs == ("x", "h")


@pytest.mark.parametrize("shape", ["1,1,6,6", "6,6", "6"])
def test_operand_that_is_not_blocked_like_the_conv_is_not_absorbed(shape: str) -> None:
    graph = fused(f"({IMAGE}, float[{shape}] r) => (float y) {{ c = Conv(x, w) y = Add(c, r) }}", w=CONV["w"])
    assert summary(graph) == [("conv", "Conv"), ("eltwise", "Add")]


def test_dense_takes_operands_of_any_rank() -> None:
    graph = fused(
        "(float[2,3,8] x, float[5] r) => (float y) { c = MatMul(x, w) d = Add(c, b) e = Add(d, r) y = Gelu(e) }",
        w=draw(8, 5), b=draw(3, 1),
    )  # fmt: skip
    (unit,) = graph
    assert (unit.kind, unit.operands) == ("dense", ("b", "r"))


def test_matmul_of_activations_scales_and_adds_a_mask() -> None:
    graph = fused(
        "(float[2,3,8] a, float[2,8,5] b, float[2,1,5] m) => (float y)"
        "{ c = MatMul(a, b) d = Div(c, four) e = Add(d, m) y = Softmax(e) }",
        four=np.float32(4),
    )
    assert summary(graph) == [("matmul", "MatMul+Mul+Add"), ("softmax", "Softmax")]


def test_operand_that_enlarges_the_result_is_not_absorbed() -> None:
    graph = fused("(float[1,8] x, float[4,5] r) => (float y) { c = MatMul(x, w) y = Add(c, r) }", w=draw(8, 5))
    dense, add = graph
    assert (dense.kind, add.kind, add.inputs) == ("dense", "eltwise", ("r", "c"))


def test_neither_input_has_the_output_shape() -> None:
    graph = fused("(float[1,4] x, float[3,1] z) => (float y) { y = Add(x, z) }")
    assert summary(graph) == [("other", "Add")]


def test_accumulator_minus_itself_is_read_from_memory() -> None:
    graph = fused(f"({IMAGE}) => (float y) {{ c = Conv(x, w) t = Tanh(c) d = Sub(t, t) y = Cos(d) }}", w=CONV["w"])
    assert summary(graph) == [("conv", "Conv+Tanh"), ("eltwise", "Sub"), ("other", "Cos")]


def test_other_dtypes_are_other() -> None:
    graph = fused("(int64[2,3] x, float16[2,3] h) => (int64 y, float16 z) { y = Add(x, x) z = Relu(h) }")
    assert summary(graph) == [("other", "Add"), ("other", "Relu")]


def test_two_elementwise_chains_join() -> None:
    graph = fused(
        "(float[2,3] x, float[2,3] z) => (float y) { a = Exp(x) b = Tanh(a) c = Neg(z) d = Add(b, c) y = Relu(d) }"
    )
    assert summary(graph) == [("eltwise", "Neg"), ("eltwise", "Exp+Tanh+Add+Relu")]


def test_without_epilogues_every_node_is_a_unit() -> None:
    model = parse(f"({IMAGE}) => (float y) {{ c = Conv(x, w) r = Relu(c) s = Add(r, x) y = Neg(s) }}", w=CONV["w"])
    graph = fuse(model, epilogues=False)
    check(graph)
    assert [unit.op for unit in graph] == ["Conv", "Relu", "Add", "Neg"]


def test_types_of_all_values() -> None:
    graph = fused("(float[2,3] x, int64[2] i) => (float y) { g = Gather(x, i) y = Mul(g, k) }", k=draw(3))
    assert {name: (t.shape, t.dtype) for name, t in graph.types.items()} == {
        "x": ((2, 3), "float32"),
        "i": ((2,), "int64"),
        "k": ((3,), "float32"),
        "g": ((2, 3), "float32"),
        "y": ((2, 3), "float32"),
    }


def test_unread_outputs_are_not_listed() -> None:
    graph = fuse(parse("(float[4,3] x) => (float y) { a, b = Split<num_outputs=2>(x) y = Relu(b) }"))
    assert next(iter(graph)).outputs == ("b",)


def test_node_without_a_name_is_our_fault() -> None:
    model = parse("(float[4,3] x) => (float y) { y = Relu(x) }")
    model.graph.node(0).name = ""
    with pytest.raises(InternalError, match="Relu node has no name"):
        fuse(model)


def test_dynamic_shape_is_our_fault() -> None:
    model = parse("(float[4,3] x) => (float y) { a = Relu(x) y = Cos(a) }")
    model.graph.node(0).outputs[0].shape = ir.Shape(("N", 3))
    with pytest.raises(InternalError) as caught:
        fuse(model)
    assert (caught.value.code, caught.value.node) == ("dynamic-shape", "a")


UNARY = ["Relu", "Tanh", "Sigmoid", "HardSwish", "Abs", "Neg", "Softplus"]


@st.composite
def random_graphs(draw_from: st.DrawFn) -> str:
    """Text of a DAG of convolutions, pools, activations, residual sums, gates, and x * sigmoid(x)."""
    full, small = ["x"], ["h"]
    lines: list[str] = []

    def define(expression: str, into: list[str]) -> None:
        into.append(f"v{len(lines)}")
        lines.append(f"{into[-1]} = {expression}")

    for _ in range(draw_from(st.integers(1, 14))):
        kind = draw_from(st.sampled_from(["unary", "conv", "binary", "gate", "silu", "scale", "pool", "squeeze"]))
        a, b = draw_from(st.sampled_from(full)), draw_from(st.sampled_from(full))
        match kind:
            case "unary":
                define(f"{draw_from(st.sampled_from(UNARY))}({a})", full)
            case "conv":
                define(f"Conv({a}, w)", full)
            case "binary":
                define(f"{draw_from(st.sampled_from(['Add', 'Sub', 'Mul', 'Max']))}({a}, {b})", full)
            case "gate":
                pair = [a, draw_from(st.sampled_from(small))]
                define(f"Mul({', '.join(draw_from(st.permutations(pair)))})", full)
            case "silu":
                define(f"Sigmoid({a})", full)
                define(f"Mul({full[-1]}, {a})", full)
            case "scale":
                define(
                    f"{draw_from(st.sampled_from(['Mul', 'Add', 'Sub']))}({a}, {draw_from(st.sampled_from('ks'))})",
                    full,
                )
            case "pool":
                define(f"MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>({a})", full)
            case "squeeze":
                define(f"GlobalAveragePool({a})", small)
    made = full[1:] + small[1:]
    results = draw_from(st.lists(st.sampled_from(made), min_size=1, max_size=3, unique=True)) if made else []
    # the last value is always read, so that no graph is empty
    results = list(dict.fromkeys([*results, made[-1]]))
    outputs = ", ".join(f"float {name}" for name in results)
    return f"({IMAGE}, float[1,4,1,1] h) => ({outputs}) {{ {' '.join(lines)} }}"


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(random_graphs())
def test_random_graph(text: str) -> None:
    fused(text, w=draw(4, 4, 1, 1) / np.float32(2), k=draw(4, 1, 1), s=np.float32(0.5))


@pytest.mark.parametrize("output", ["x", "c"])
def test_an_output_that_nothing_computes_is_refused(output: str) -> None:
    model = onnx.parser.parse_model(
        f"""<ir_version: 9, opset_import: ["" : 20]>
        g (float[2] x) => (float[2] y, float[2] {output}) <float[2] c = {{1, 2}}> {{ y = Relu(x) }}"""
    )
    with pytest.raises(HetpartError) as caught:
        fuse(ir.from_proto(model))
    assert caught.value.code == "output-not-computed"
    assert caught.value.node == output
