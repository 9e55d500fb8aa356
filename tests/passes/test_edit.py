"""Reading constants and attributes, and rewriting without losing names or outputs."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from hetpart.errors import InternalError
from hetpart.passes.edit import (
    Editor,
    attribute,
    close,
    constant,
    integers,
    normalised_axes,
    scalar,
    shape_of,
    used_once,
)
from hetpart.passes.printer import print_model
from tests.passes.support import draw, parse


def test_constants() -> None:
    model = parse(
        "(float[2,3] x) => (float y) { y = Add(x, c) }", c=np.array([[2.5]], np.float32), i=np.array([1, -1]), v=draw(3)
    )
    values = model.graph.initializers
    assert scalar(values["c"]) == 2.5
    assert scalar(values["v"]) is None
    assert integers(values["i"]) == (1, -1)
    assert integers(values["v"]) is None
    for read in (constant, scalar, integers):
        assert read(model.graph.inputs[0]) is None
        assert read(None) is None


def test_text_is_no_number() -> None:
    value = ir.Value(name="t", const_value=ir.tensor(["word"]), type=ir.TensorType(ir.DataType.STRING))
    ir.Graph([], [], nodes=[], initializers=[value])
    assert scalar(value) is None


def test_attributes() -> None:
    node = parse('(float[1,1,4,4] x) => (float y) { y = MaxPool<kernel_shape=[2,1], auto_pad="VALID">(x) }').graph.node(
        0
    )
    assert attribute(node, "kernel_shape", ()) == (2, 1)
    assert attribute(node, "auto_pad", "NOTSET") == "VALID"
    assert attribute(node, "strides", (1, 1)) == (1, 1)


def test_shape_of_a_dynamic_value() -> None:
    with pytest.raises(InternalError, match="no static shape") as caught:
        shape_of(ir.Value(name="v", shape=ir.Shape(("N", 3))))
    assert caught.value.node == "v"


def test_used_once() -> None:
    model = parse("(float[2] x) => (float y, float b) { a = Relu(x) b = Neg(a) c = Abs(b) d = Add(c, c) y = Exp(d) }")
    once = {node.outputs[0].name: used_once(node.outputs[0]) for node in model.graph}
    assert once == {"a": True, "b": False, "c": False, "d": True, "y": False}


def test_axes_and_closeness() -> None:
    assert normalised_axes((-1, 0), 4) == (0, 3)
    assert close(float(np.float32(1 / 6)), 1 / 6)
    assert not close(0.1667, 1 / 6)
    assert not close(None, 1.0)


def test_new_names_are_unique() -> None:
    model = parse("(float[2] x) => (float y) { y = Add(x, c) }", c=draw(2))
    editor = Editor(model.graph)
    names = [editor.constant("c", draw(2)).name for _ in range(2)]
    node = model.graph.node(0)
    names += [editor.insert(node, "Relu", [node.inputs[0]], shape=(2,)).name for _ in range(2)]
    assert names == ["c_1", "c_2", "Add_0/Relu", "Add_0/Relu_1"]


def test_bypass_of_a_graph_output_keeps_its_name_and_order() -> None:
    model = parse("(float[2] x) => (float z, float y) { z = Abs(x) a = Relu(x) y = Identity(a) }")
    Editor(model.graph).bypass(model.graph.node(2), model.graph.node(1).outputs[0])
    assert print_model(model) == (
        "input %x: f32[2]\n%z: f32[2] = Abs(%x)\n%y: f32[2] = Relu(%x)\noutput %z\noutput %y\n"
    )
