"""Each clause of the canonical form is checked; what the frontend and the passes make fulfils all of them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from examples import zoo
from hetpart.errors import InternalError
from hetpart.frontend import import_model
from hetpart.graph.canonical import FORBIDDEN, check_canonical
from hetpart.passes.pipeline import optimisation_level, run_pipeline
from tests.models import light_model
from tests.passes.support import parse


def broken(model: ir.Model, *words: str, node: str | None = None) -> None:
    with pytest.raises(InternalError) as caught:
        check_canonical(model)
    assert caught.value.code == "not-canonical"
    assert node is None or caught.value.node == node
    for word in words:
        assert word in str(caught.value)


def two_layers() -> ir.Model:
    """Relu between two matrix products with a weight each."""
    weights = {name: np.full((4, 4), 0.5, np.float32) for name in "vw"}
    return parse("(float[2,4] x) => (float[2,4] y) { a = MatMul(x, v) b = Relu(a) y = MatMul(b, w) }", **weights)


def test_a_canonical_model_passes() -> None:
    check_canonical(two_layers())


@pytest.mark.parametrize("level", ["O0", "O1"])
@pytest.mark.parametrize("name", ["mobilenetv3_small", "bert_tiny", "light_shufflenet", "light_squeezenet"])
def test_what_the_passes_make_is_canonical(name: str, level: str) -> None:
    model = import_model(light_model(name) if name.startswith("light") else zoo.build(name))
    run_pipeline(model, optimisation_level(level))
    check_canonical(model)


SMALL = np.ones(3, np.float32)
CALLS = {
    "Constant": "c = Constant<value_float=1.0>() y = Add(x, c)",
    "Identity": "y = Identity(x)",
    "Dropout": "y = Dropout(x)",
    "BatchNormalization": "y = BatchNormalization(x, s, s, s, s)",
    "Sum": "y = Sum(x, x, x)",
    "Mean": "y = Mean(x, x)",
}


def test_every_forbidden_operator_has_a_case() -> None:
    assert set(CALLS) == set(FORBIDDEN)


@pytest.mark.parametrize("op", CALLS)
def test_forbidden_operators(op: str) -> None:
    constants = {"s": SMALL} if "s)" in CALLS[op] else {}
    model = parse(f"(float[1,3,2,2] x) => (float[1,3,2,2] y) {{ {CALLS[op]} }}", **constants)
    broken(model, op, FORBIDDEN[op], node=f"{op}_0")


def test_an_operator_of_another_domain_may_bear_a_forbidden_name() -> None:
    model = two_layers()
    model.graph[1].op_type, model.graph[1].domain = "Identity", "custom"
    check_canonical(model)


@pytest.mark.parametrize("shape", [None, ir.Shape([2, "n"])])
def test_shapes_are_static(shape: ir.Shape | None) -> None:
    model = two_layers()
    model.graph[0].outputs[0].shape = shape
    broken(model, "not static", node="a")


def test_dtypes_are_known() -> None:
    model = two_layers()
    model.graph.inputs[0].type = None
    broken(model, "dtype", node="x")


@pytest.mark.parametrize("name", ["", None, "MatMul_0"])
def test_node_names_are_unique(name: str | None) -> None:
    model = two_layers()
    model.graph[1].name = name
    broken(model, "node name")


def test_value_names_are_unique() -> None:
    model = two_layers()
    model.graph[1].outputs[0].name = "a"
    broken(model, "one name", node="a")


def test_nodes_are_sorted() -> None:
    model = two_layers()
    relu = model.graph[1]
    model.graph.remove(relu)
    model.graph.insert_before(model.graph[0], relu)
    broken(model, "before it is made", node="Relu_1")


def test_initialisers_have_data() -> None:
    model = two_layers()
    model.graph.initializers["v"].const_value = None
    broken(model, "no data", node="v")


def test_weights_have_one_reader() -> None:
    model = two_layers()
    model.graph[2].replace_input_with(1, model.graph.initializers["v"])
    broken(model, "'v'", "other readers", node="MatMul_0")


def test_other_constants_may_be_shared() -> None:
    check_canonical(parse("(float[2] x) => (float[2] y) { a = Add(x, c) y = Mul(a, c) }", c=np.ones(2, np.float32)))


def test_outputs_are_made() -> None:
    model = two_layers()
    model.graph.outputs[0] = ir.val("z", dtype=ir.DataType.FLOAT, shape=[2, 4])
    broken(model, "graph output", node="z")
