"""Dynamic dimensions get their sizes from --shape and --dim, and every mistake says which flag to pass."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetpart.frontend import import_model
from tests.frontend.support import model_of, refused, same_function

DYNAMIC = "(float[batch,3,height,8] x, float[batch,3,height,8] z) => (float[batch,a,b,c] y) { y = Add(x, z) }"


def output_shape(model: onnx.ModelProto, **options: object) -> tuple[int, ...]:
    value = import_model(model, **options).graph.outputs[0]
    return tuple(value.shape.numpy())


def test_dims_reach_every_input() -> None:
    assert output_shape(model_of(DYNAMIC), dims={"batch": 2, "height": 4}) == (2, 3, 4, 8)


def test_a_shape_binds_its_symbols_everywhere() -> None:
    assert output_shape(model_of(DYNAMIC), shapes={"x": (2, 3, 4, 8)}) == (2, 3, 4, 8)


def test_shapes_and_dims_together() -> None:
    model = model_of("(float[n,3] x, float[m,3] z) => (float[p,3] y) { y = Concat<axis=0>(x, z) }")
    same_function(model, shapes={"x": (2, 3)}, dims={"m": 5})


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5))
def test_any_size_is_carried_to_the_output(batch: int, height: int) -> None:
    expected = (batch, 3, height, 8)
    assert output_shape(model_of(DYNAMIC), dims={"batch": batch, "height": height}) == expected
    assert output_shape(model_of(DYNAMIC), shapes={"z": expected}) == expected


def test_a_static_model_may_be_told_its_own_shape() -> None:
    model = model_of("(float[1,3] x) => (float[1,3] y) { y = Relu(x) }")
    assert output_shape(model, shapes={"x": [1, 3]}) == (1, 3)


def test_scalars_and_empty_symbols() -> None:
    model = model_of("(float x, float[n] z) => (float[n] y) { y = Mul(x, z) }")
    assert output_shape(model, shapes={"x": ()}, dims={"n": 4}) == (4,)


def test_an_input_without_any_shape() -> None:
    model = model_of("(float x) => (float y) { y = Relu(x) }")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.ClearField("shape")
    with refused("dynamic-shape", "--shape x:", node="x"):
        import_model(model)
    assert output_shape(model, shapes={"x": (2, 3)}) == (2, 3)
    assert output_shape(model, shapes={"x": ()}) == ()


@pytest.mark.parametrize("unknown", [0, -1])
def test_zero_and_minus_one_mean_unknown(unknown: int) -> None:
    model = model_of("(float[1,3] x) => (float[1,3] y) { y = Relu(x) }")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = unknown
    with refused("dynamic-shape", "--shape x:1,3", node="x"):
        import_model(model)
    assert output_shape(model, shapes={"x": (7, 3)}) == (7, 3)


def test_wrong_shapes_of_outputs_are_not_believed() -> None:
    model = model_of("(float[n,3] x) => (float[1,3] y) { y = Relu(x) }")
    assert output_shape(model, dims={"n": 2}) == (2, 3)


def test_left_over_dimension_shows_the_flags() -> None:
    with refused("dynamic-shape", "'height' (axis 2)", "--dim height=1", "--shape x:1,3,1,8", node="x"):
        import_model(model_of(DYNAMIC), dims={"batch": 1})


def test_unknown_input() -> None:
    with refused("unknown-input", "'image'", "inputs: x, z"):
        import_model(model_of(DYNAMIC), shapes={"image": (1, 3, 8, 8)})


def test_weights_are_not_inputs() -> None:
    model = model_of("(float[n,300] x) => (float[n,300] y) { y = MatMul(x, w) }", w=np.ones((300, 300), np.float32))
    with refused("unknown-input", "inputs: x"):
        import_model(model, shapes={"w": (300, 300)})


def test_unknown_dim() -> None:
    with refused("unknown-dim", "'N'", "batch, height"):
        import_model(model_of(DYNAMIC), dims={"N": 1})


def test_rank_mismatch() -> None:
    with refused("rank-mismatch", "4 dimensions", "--shape x:1,3,8", node="x"):
        import_model(model_of(DYNAMIC), shapes={"x": (1, 3, 8)})


def test_static_dimension_contradicted() -> None:
    with refused("shape-contradiction", "axis 1 of input 'x' is 3 in the model, 4 by --shape x:1,4,8,8", node="x"):
        import_model(model_of(DYNAMIC), shapes={"x": (1, 4, 8, 8)})


def test_shapes_contradict_each_other() -> None:
    with refused("shape-contradiction", "'batch' is 1 by --shape x:1,3,8,8, but 2 by --shape z:2,3,8,8"):
        import_model(model_of(DYNAMIC), shapes={"x": (1, 3, 8, 8), "z": (2, 3, 8, 8)})


def test_shape_contradicts_dim() -> None:
    with refused("shape-contradiction", "'batch' is 2 by --dim batch=2, but 1 by --shape x:1,3,8,8"):
        import_model(model_of(DYNAMIC), shapes={"x": (1, 3, 8, 8)}, dims={"batch": 2})


@pytest.mark.parametrize("size", [0, -1])
def test_sizes_are_positive(size: int) -> None:
    with refused("bad-shape", f"--dim batch={size}"):
        import_model(model_of(DYNAMIC), dims={"batch": size})


def test_a_shape_may_be_empty_but_not_negative() -> None:
    with refused("bad-shape", "--shape x:1,3,-1,8"):
        import_model(model_of(DYNAMIC), shapes={"x": (1, 3, -1, 8)})
    model = model_of("(float[a,3] x) => (float[a,3] y) { y = Relu(x) }")
    assert tuple(import_model(model, shapes={"x": (0, 3)}).graph.inputs[0].shape.numpy()) == (0, 3)
