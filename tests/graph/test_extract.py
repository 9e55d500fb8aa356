"""What is cut out of a model computes the very bits that the whole model does."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from examples import zoo
from hetpart.errors import InternalError
from hetpart.frontend import import_model
from hetpart.graph.extract import unit_model
from hetpart.graph.units import Unit, UnitGraph
from hetpart.passes.fuse import fuse
from hetpart.passes.pipeline import optimisation_level, run_pipeline
from tests.passes.support import evaluate, parse

Values = dict[str, np.ndarray]


@cache
def fused(name: str) -> tuple[UnitGraph, Values]:
    """The units of a zoo model, and all their values as the whole model computes them, optimisations off."""
    model = import_model(zoo.build(name))
    run_pipeline(model, optimisation_level("O1"))
    graph = fuse(model)
    whole = ir.to_proto(model)
    feeds = zoo.inputs(whole)
    names = list(dict.fromkeys(value for unit in graph for value in unit.outputs))
    del whole.graph.output[:]
    whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return graph, feeds | dict(zip(names, evaluate(whole, feeds), strict=True))


def check(model: onnx.ModelProto, values: Values) -> None:
    onnx.checker.check_model(model, full_check=True)
    results = evaluate(model, {value.name: values[value.name] for value in model.graph.input})
    for output, result in zip(model.graph.output, results, strict=True):
        np.testing.assert_array_equal(result, values[output.name], strict=True)


NAMES = ["resnet18", "mobilenetv3_small", "shufflenetv2", "retinaface", "bert_tiny"]


@pytest.mark.parametrize("name", NAMES)
def test_every_unit_alone(name: str) -> None:
    graph, values = fused(name)
    for unit in graph:
        model = unit_model(graph, unit)
        assert tuple(value.name for value in model.graph.input) == unit.inputs
        assert tuple(value.name for value in model.graph.output) == unit.outputs
        check(model, values)


def test_shared_tensors_get_the_names_of_their_values() -> None:
    shared = ir.tensor(np.eye(4, dtype=np.float32), name="other")
    model = parse("(float[2,4] x) => (float[2,4] y) { y = MatMul(x, w) }", w=np.zeros((4, 4), np.float32))
    model.graph.initializers["w"].const_value = shared
    graph = fuse(model)
    cut = unit_model(graph, next(iter(graph)))
    assert [tensor.name for tensor in cut.graph.initializer] == ["w"]
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_array_equal(evaluate(cut, {"x": x})[0], x)


def test_constants_read_twice_are_there_once() -> None:
    graph = fuse(parse("(float[2] x) => (float[2] y) { a = Add(x, c) y = Mul(a, c) }", c=np.ones(2, np.float32)))
    (unit,) = graph
    assert len(unit_model(graph, unit).graph.initializer) == 1


def test_equal_cuts_give_equal_bytes() -> None:
    graph, _ = fused("resnet18")
    unit = next(iter(graph))
    first, second = (unit_model(graph, unit).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_a_repack_has_no_onnx_form() -> None:
    graph, _ = fused("resnet18")
    with pytest.raises(InternalError) as caught:
        unit_model(graph, Unit("repack:x", "repack", (), ("x",), ("x:blocked",)))
    assert caught.value.code == "no-onnx-nodes"


def test_a_unit_that_hides_an_input() -> None:
    graph = fuse(parse("(float[2] x, float[2] z) => (float[2] y) { y = Add(x, z) }"))
    unit = next(iter(graph))
    with pytest.raises(InternalError, match="'z'"):
        unit_model(graph, Unit(unit.name, unit.kind, unit.nodes, ("x",), unit.outputs))
