"""Unread nodes, optional outputs and initialisers go; the model's inputs and outputs stay."""

from __future__ import annotations

from hetpart.passes.dce import DeadCodeElimination
from tests.passes.support import apply, draw, operators, parse


def test_dead_chain_and_its_weight() -> None:
    model = parse("(float[2,3] x) => (float y) { a = MatMul(x, w) b = Relu(a) y = Tanh(x) }", w=draw(3, 3))
    apply(model, DeadCodeElimination(), tolerance=0)
    assert operators(model) == ["Tanh"]
    assert not model.graph.initializers


def test_unread_optional_output() -> None:
    model = parse("(float[1,1,4,4] x) => (float y) { y, i = MaxPool<kernel_shape=[2,2]>(x) }")
    assert DeadCodeElimination().apply(model)
    assert len(model.graph.node(0).outputs) == 1
    assert not DeadCodeElimination().apply(model)


def test_unread_input_stays() -> None:
    model = parse("(float[2] x, float[2] unread) => (float y) { y = Relu(x) }")
    assert not DeadCodeElimination().apply(model)
    assert [value.name for value in model.graph.inputs] == ["x", "unread"]
