"""Verification finds invalid ONNX and recorded types that are not true, and leaves the model alone."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from hetpart.errors import InternalError
from hetpart.passes.printer import print_model
from hetpart.passes.verify import verify_model
from tests.passes.support import draw, parse


def make() -> ir.Model:
    return parse(
        "(float[1,300] x) => (float y) { a = MatMul(x, w) b = Reshape(a, s) y = Relu(b) }",
        w=draw(300, 4),
        s=np.array([2, 2]),
    )


def test_valid_model_passes_and_keeps_its_text() -> None:
    model = make()
    before = print_model(model)
    tensor = model.graph.initializers["w"].const_value
    verify_model(model, canonical=True)
    assert print_model(model) == before
    assert model.graph.initializers["w"].const_value is tensor


def test_wrong_dtype() -> None:
    model = make()
    model.graph.node(0).outputs[0].dtype = ir.DataType.DOUBLE
    with pytest.raises(InternalError, match="computed as FLOAT") as caught:
        verify_model(model, canonical=False)
    assert (caught.value.code, caught.value.node) == ("wrong-type", "a")


def test_missing_shape() -> None:
    model = make()
    model.graph.node(1).outputs[0].shape = None
    with pytest.raises(InternalError) as caught:
        verify_model(model, canonical=False)
    assert (caught.value.code, caught.value.node) == ("wrong-type", "b")


def test_wrong_rank() -> None:
    model = make()
    model.graph.node(1).outputs[0].shape = ir.Shape((2, 2, 1))
    with pytest.raises(InternalError):
        verify_model(model, canonical=False)


def test_unknown_attribute() -> None:
    model = make()
    model.graph.node(2).attributes.add(ir.AttrInt64("colour", 3))
    with pytest.raises(InternalError, match="not valid ONNX") as caught:
        verify_model(model, canonical=False)
    assert caught.value.code == "invalid-model"


def test_shapes_that_do_not_fit() -> None:
    model = make()
    model.graph.initializers["w"].const_value = ir.tensor(draw(301, 4))
    model.graph.initializers["w"].shape = ir.Shape((301, 4))
    with pytest.raises(InternalError) as caught:
        verify_model(model, canonical=False)
    assert caught.value.code == "invalid-model"


def test_wrong_graph_output_shape() -> None:
    model = make()
    model.graph.outputs[0].shape = ir.Shape((4,))
    with pytest.raises(InternalError):
        verify_model(model, canonical=False)
