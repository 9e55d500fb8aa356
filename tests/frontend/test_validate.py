"""Every refusal has its code, names the node or value, and says what to do."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hetpart.frontend import import_model
from hetpart.frontend.validate import name_nodes
from tests.frontend.support import model_of, refused

RELU = "(float[2] x) => (float[2] y) { y = Relu(x) }"


def test_unknown_operator() -> None:
    with refused("unknown-operator", "opset 20", "Relux", node="Relux_0"):
        import_model(model_of(RELU.replace("Relu", "Relux")))


def test_operator_newer_than_the_declared_opset() -> None:
    with refused("unknown-operator", "Gelu", "opset 17", node="Gelu_0"):
        import_model(model_of(RELU.replace("Relu", "Gelu"), opset=17))


def test_group_normalisation_in_its_first_and_withdrawn_form() -> None:
    text = "(float[1,4,5] x, float[2] s) => (float[1,4,5] y) { y = GroupNormalization<num_groups=2>(x, s, s) }"
    with refused("unknown-operator", "opset 18", "no longer supports", node="GroupNormalization_0"):
        import_model(model_of(text, opset=18))


def test_operator_removed_before_the_declared_opset() -> None:
    model = model_of('(float[1,1,2,2] x, float[4] s) => (float[1,1,4,4] y) { y = Upsample<mode="nearest">(x, s) }')
    with refused("unknown-operator", "Upsample", node="Upsample_0"):
        import_model(model)


@pytest.mark.parametrize(
    ("domain", "hint"),
    [("com.acme", "model-local function"), ("com.microsoft", "ONNX Runtime"), ("ai.onnx.ml", "machine learning")],
)
def test_unknown_domain(domain: str, hint: str) -> None:
    model = model_of(RELU, domain=domain)
    model.graph.node[0].domain = domain
    with refused("unknown-domain", domain, hint, node="Relu_0"):
        import_model(model)


def test_unknown_operator_inside_a_branch() -> None:
    body = helper.make_graph([helper.make_node("Relux", ["x"], ["b"], name="inner")], "b", [],
                             [helper.make_tensor_value_info("b", TensorProto.FLOAT, [2])])  # fmt: skip
    model = model_of("(float[2] x, bool c) => (float[2] y) { y = Relu(x) }")
    model.graph.node[0].CopyFrom(helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body))
    with refused("unknown-operator", node="inner"):
        import_model(model)


@pytest.mark.parametrize("opset", [1, 5])
def test_opset_too_old(opset: int) -> None:
    with refused("opset-too-old", f"opset {opset}", "6"):
        import_model(model_of(RELU, opset=opset))


def test_an_old_opset_whose_operators_stayed_is_read() -> None:
    assert [
        node.op_type for node in import_model(model_of("(bool[3] x) => (bool y) { y = Not(x) }", opset=1)).graph
    ] == ["Not"]


def test_opset_too_new() -> None:
    newest = onnx.defs.onnx_opset_version()
    with refused("opset-too-new", str(newest + 1), str(newest), "update the onnx package"):
        import_model(model_of(RELU, opset=newest + 1))


def test_ir_version_too_new() -> None:
    model = model_of(RELU)
    model.ir_version = onnx.IR_VERSION + 1
    with refused("opset-too-new", "IR version"):
        import_model(model)


def test_no_opset() -> None:
    model = model_of(RELU)
    del model.opset_import[:]
    with refused("invalid-model", "opset"):
        import_model(model)


@pytest.mark.parametrize("dtype", ["string", "complex64", "int4", "float8e4m3fn"])
def test_unsupported_dtype_of_an_input(dtype: str) -> None:
    elem_type = TensorProto.DataType.Value(dtype.upper())
    model = model_of("(float[2] x) => (float[2] y) { y = Identity(x) }", opset=21)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = elem_type
    with refused("unsupported-dtype", dtype, node="x"):
        import_model(model)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "double", "int8", "uint8", "int32", "uint64", "bool"])
def test_supported_dtypes(dtype: str) -> None:
    text = "(float[2] x) => (float[2] y) { y = Identity(x) }".replace("float", dtype)
    assert import_model(model_of(text)).graph.outputs[0].dtype.name.lower() == dtype


def test_unsupported_dtype_between_nodes() -> None:
    model = model_of("(float[2] x) => (float[2] y) { s = Cast<to=8>(x)\n y = Cast<to=1>(s) }")
    with refused("unsupported-dtype", "string", node="s"):
        import_model(model)


def test_string_initialiser() -> None:
    model = model_of("(int64[1] i) => (string[1] y) { y = Gather(w, i) }")
    model.graph.initializer.append(helper.make_tensor("w", TensorProto.STRING, [2], ["a", "b"]))
    with refused("unsupported-dtype", "strings", node="w"):
        import_model(model)


def test_sequences() -> None:
    model = model_of("(seq(float[2]) x) => (float[2] y) { y = SequenceAt(x, i) }", i=np.int64(0))
    with refused("unsupported-dtype", "sequence", node="x"):
        import_model(model)


def test_sequences_read_at_a_place_that_is_not_known() -> None:
    text = "(float[2] x, int64 i) => (float[2] y) { s = SequenceConstruct(x, x)\n y = SequenceAt(s, i) }"
    model = model_of(text)
    with refused("unsupported-dtype", "sequence", node="s"):
        import_model(model)


def test_optional_input() -> None:
    model = model_of("(optional(float[2]) x) => (float[2] y) { y = OptionalGetElement(x) }")
    with refused("unsupported-dtype", "optional", node="x"):
        import_model(model)


def test_shape_that_depends_on_data() -> None:
    model = model_of("(float[2,3] x) => (int64[2,n] y) { i = NonZero(x)\n y = Identity(i) }")
    with refused("dynamic-shape", "NonZero", "2,?", "depends on data", node="NonZero_0"):
        import_model(model)


@pytest.mark.parametrize("op", ["RandomNormalLike", "Bernoulli", "Multinomial"])
def test_random_operators(op: str) -> None:
    model = model_of(f"(float[2,3] x) => (float[a,b] y) {{ y = {op}(x) }}", opset=17)
    with refused("random-operator", op, node=f"{op}_0"):
        import_model(model)


BN = "BatchNormalization"


@pytest.mark.parametrize(
    ("opset", "call"),
    [(15, f"y, p, q = {BN}<training_mode=1>(x, s, s, s, s)"), (9, f"y, p, q, r, t = {BN}(x, s, s, s, s)")],
)
def test_batch_normalisation_in_training_mode(opset: int, call: str) -> None:
    constants = {"s": np.ones(3, np.float32)}
    model = model_of(f"(float[1,3,2,2] x) => (float[1,3,2,2] y) {{ {call} }}", opset=opset, **constants)
    with refused("training-mode", BN, "model.eval()", node=f"{BN}_0"):
        import_model(model)


def test_dropout_in_training_mode() -> None:
    text = "(float[2] x) => (float[2] y) { y = Dropout(x, ratio, train) }"
    model = model_of(text, ratio=np.float32(0.5), train=np.array(True))
    with refused("training-mode", "Dropout", node="Dropout_0"):
        import_model(model)
    import_model(model_of(text, ratio=np.float32(0.5), train=np.array(False)))


def test_dropout_that_is_told_at_run_time() -> None:
    model = model_of("(float[2] x, bool train) => (float[2] y) { y = Dropout(x, r, train) }", r=np.float32(0.5))
    with refused("training-mode", node="Dropout_0"):
        import_model(model)


def test_a_value_made_twice() -> None:
    model = model_of("(float[2] x) => (float[2] y) { a = Relu(x)\n y = Neg(a) }")
    model.graph.node[1].output[0] = "a"
    with refused("duplicate-name", "'a'", "Neg_1", node="a"):
        import_model(model)


@pytest.mark.parametrize("size", [4, 100_000])
def test_two_initialisers_of_one_name(size: int) -> None:
    text = f"(float[{size}] x) => (float[{size}] y) {{ y = Add(x, w) }}"
    model = model_of(text, w=np.ones(size, np.float32))
    model.graph.initializer.append(model.graph.initializer[0])
    with refused("duplicate-name", node="w"):
        import_model(model)


@pytest.mark.parametrize("what", ["input", "initializer"])
def test_nameless_values(what: str) -> None:
    model = model_of("(float[2] x) => (float[2] y) { y = Add(x, w) }", w=np.ones(2, np.float32))
    getattr(model.graph, what)[0].name = ""
    with refused("missing-name"):
        import_model(model)


def test_a_value_that_nothing_makes() -> None:
    with refused("undefined-value", "'z'", "nothing makes", node="Add_0"):
        import_model(model_of("(float[2] x) => (float[2] y) { y = Add(x, z) }"))


def test_an_output_that_nothing_makes() -> None:
    model = model_of(RELU)
    model.graph.output[0].name = "z"
    with refused("undefined-value", "graph output", node="z"):
        import_model(model)


def test_a_model_without_outputs() -> None:
    with refused("no-outputs"):
        import_model(model_of("(float[2] x) => () { y = Relu(x) }"))


def test_nodes_out_of_order() -> None:
    model = model_of("(float[2] x) => (float[2] y) { y = Neg(a)\n a = Relu(x) }")
    with refused("undefined-value", "later", node="Neg_0"):
        import_model(model)


def test_a_cycle() -> None:
    model = model_of("(float[2] x) => (float[2] y) { a = Add(x, y)\n y = Relu(a) }")
    with refused("undefined-value", "'y'", node="Add_0"):
        import_model(model)


@pytest.mark.parametrize(
    ("size", "operator"),
    [(2, "Conv(x, w)"), (1, "Conv(x, w)"), (1, "MaxPool<kernel_shape=[3,3]>(x)"), (1, "Pad(x, cut)")],
)
def test_a_window_larger_than_its_input(size: int, operator: str) -> None:
    model = model_of(f"(float[1,2,{size},{size}] x) => (float[a,b,c,d] y) {{ [small] y = {operator} }}")
    model.graph.initializer.append(numpy_helper.from_array(np.ones((4, 2, 3, 3), np.float32), "w"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 0, -1, -1, 0, 0, -1, -1]), "cut"))
    with refused("impossible-shape", "'y'", node="small"):
        import_model(model)


def test_sparse_initialiser() -> None:
    model = model_of("(float[4] x) => (float[4] y) { y = Add(x, w) }")
    values = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("w_i", TensorProto.INT64, [1], [2])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    with refused("sparse-initialiser", node="w"):
        import_model(model)


def test_what_only_the_onnx_checker_finds() -> None:
    model = model_of("(float[2] x) => (float[2] y) { y = Relu(x, x) }")
    with refused("invalid-model", "checker"):
        import_model(model)


@given(st.lists(st.sampled_from(["", "", "a", "b", "Relu_0", "Relu_1", "Relu_1_1"]), max_size=8))
def test_node_names_become_unique_and_stable(given_names: list[str]) -> None:
    graph = onnx.GraphProto()
    for name in given_names:
        graph.node.add(op_type="Relu", name=name)
    name_nodes(graph)
    names = [node.name for node in graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    for name in set(given_names) - {""}:
        assert names[given_names.index(name)] == name  # the first to have a name keeps it
    name_nodes(graph)
    assert [node.name for node in graph.node] == names
