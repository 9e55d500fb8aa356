"""Shape arithmetic and constant branches are folded away; everything else is left to our own passes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from hetpart.frontend import import_model
from tests.frontend.support import model_of, op_types, refused, same_function


def test_a_reshape_to_a_computed_shape() -> None:
    model = model_of(
        """(float[n,3,4,5] x) => (float[a,b] y) {
            s = Shape(x)
            n = Gather<axis=0>(s, zero)
            n1 = Unsqueeze(n, axes)
            t = Concat<axis=0>(n1, rest)
            y = Reshape(x, t)
        }""",
        opset=17, zero=np.int64(0), axes=np.array([0]), rest=np.array([-1]),
    )  # fmt: skip
    assert op_types(same_function(model, dims={"n": 2})) == ["Reshape"]


def test_folded_shapes_let_inference_go_on_and_shapes_let_folding_go_on() -> None:
    model = model_of(
        """(float[2,12] x) => (float[a,b] y) {
            s = Shape(x)
            half = Div(s, two)
            e = Expand(x1, half)
            t = Shape(e)
            u = ConstantOfShape(t)
            v = Shape(u)
            w = Slice(v, lo, hi)
            z = Concat<axis=0>(w, minus)
            y = Reshape(x, z)
        }""",
        two=np.array([1, 2]), x1=np.ones((1, 1), np.float32), lo=np.array([1]), hi=np.array([2]),
        minus=np.array([-1]),
    )  # fmt: skip
    assert op_types(same_function(model)) == ["Reshape"]


@pytest.mark.parametrize("constant", [np.float32([1, 2]), np.zeros((0, 2), np.float32), np.ones(20_000, np.float32)])
def test_an_output_that_no_node_makes_has_the_type_of_the_constant(constant: np.ndarray) -> None:
    model = model_of("(float[2] x) => (float[2] y, float[2] k, float[2] x) { y = Neg(x) }", k=constant)
    _, k, x = import_model(model).graph.outputs
    assert (k.shape, x.shape) == (ir.Shape(constant.shape), ir.Shape((2,)))


def test_inference_goes_on_behind_a_folded_output() -> None:
    model = model_of("(float[2] x) => (float[2] y, float[2] z) { z = Add(k, k)\n y = Add(x, z) }", k=np.float32([1, 2]))
    assert op_types(same_function(model)) == ["Add"]


def if_model(condition: np.ndarray | None) -> object:
    """y = If(condition, Relu(x), Softmax(Neg(x))); without a condition it is computed from x."""
    branches = {}
    for name, ops in {"then_branch": ["Relu"], "else_branch": ["Neg", "Softmax"]}.items():
        values = ["x", *(f"{name}.{i}" for i in range(len(ops)))]
        nodes = [helper.make_node(op, [values[i]], [values[i + 1]]) for i, op in enumerate(ops)]
        result = helper.make_tensor_value_info(values[-1], TensorProto.FLOAT, None)
        branches[name] = helper.make_graph(nodes, name, [], [result])
    nodes = [helper.make_node("If", ["c"], ["y"], **branches)]
    constants = []
    if condition is None:
        nodes.insert(0, helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0))
        nodes.insert(1, helper.make_node("Cast", ["m"], ["c"], to=TensorProto.BOOL))
    else:
        constants.append(numpy_helper.from_array(condition, "c"))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3, 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "if", ends[:1], ends[1:], initializer=constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)


def test_a_constant_condition_picks_its_branch() -> None:
    assert op_types(same_function(if_model(np.array(True)))) == ["Relu"]


def test_the_picked_branch_is_converted_like_the_rest() -> None:
    """Softmax of opset 11 normalises over all axes from 1 on, later ones over a single axis."""
    assert "Softmax" in op_types(same_function(if_model(np.array(False))))


def test_a_condition_on_data_is_refused() -> None:
    with refused("control-flow", "depends on data", node="If_2"):
        import_model(if_model(None))


def test_a_loop_is_refused() -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Relu", ["v"], ["v2"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [3]),
        ],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v2", TensorProto.FLOAT, [3]),
        ],
    )
    model = model_of("(int64 n, float[3] x) => (float[3] y) { y = Relu(x) }")
    model.graph.node[0].CopyFrom(helper.make_node("Loop", ["n", "", "x"], ["y"], name="loop", body=body))
    with refused("control-flow", "Loop", node="loop"):
        import_model(model)


def test_fusions_are_left_to_our_passes() -> None:
    model = model_of(
        """(float[1,3,8,8] x) => (float[1,4,8,8] y) {
            p = Pad(x, pads)
            c = Conv<kernel_shape=[3,3]>(p, w)
            n = BatchNormalization(c, s, b, m, v)
            i = Identity(n)
            d = Dropout(i)
            e = Mul(d, one)
            y = Relu(e)
        }""",
        pads=np.array([0, 0, 1, 1, 0, 0, 1, 1]), one=np.float32(1),
        w=np.random.default_rng(0).standard_normal((4, 3, 3, 3), dtype=np.float32),
        **{name: np.array([1, 2, 3, 4], np.float32) for name in "sbmv"},
    )  # fmt: skip
    imported = same_function(model)
    assert op_types(imported) == ["Pad", "Conv", "BatchNormalization", "Identity", "Dropout", "Mul", "Relu"]


def test_equal_weights_of_two_layers_stay_apart() -> None:
    weight = np.eye(3, dtype=np.float32)
    model = model_of("(float[2,3] x) => (float[2,3] y) { a = MatMul(x, v)\n y = MatMul(a, w) }", v=weight, w=weight)
    assert set(import_model(model).graph.initializers) == {"v", "w"}


def test_inputs_that_nothing_reads_stay() -> None:
    model = model_of("(float[2] x, float[2] unused) => (float[2] y) { y = Relu(x) }")
    assert [value.name for value in import_model(model).graph.inputs] == ["x", "unused"]


def test_a_contradiction_in_the_graph_names_the_node() -> None:
    model = model_of("(float[2,3] x) => (float[2,2] y) { y = MatMul(x, x) }")
    model.graph.node[0].name = "product"
    with refused("type-inference", "ncompatible", node="product"):
        import_model(model)


def test_mixed_element_types_name_the_node() -> None:
    model = model_of("(float[2] x, int64[2] z) => (float[2] y) { y = Add(x, z) }")
    with refused("type-inference", node="Add_0"):
        import_model(model)
