"""The standard pipeline on published networks: same outputs, canonical form after every pass, few units."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest

from examples import zoo
from hetpart.frontend import import_model
from hetpart.graph.units import UnitGraph
from hetpart.passes.fuse import fuse
from hetpart.passes.pipeline import optimisation_level, run_pipeline
from hetpart.passes.printer import print_model
from tests.models import light_model, light_names
from tests.numerics import relative_error
from tests.passes.support import evaluate

SMALL = ("bert_tiny", "mobilenetv3_small", "shufflenetv2", "squeezenet")

UNITS = {
    "bert_tiny": 48,
    "mobilenetv3_small": 74,
    "shufflenetv2": 76,
    "squeezenet": 39,
    "resnet18": 24,
    "resnet50": 57,
    "vgg16": 22,
    "mobilenetv1": 30,
    "mobilenetv2": 55,
    "densenet121": 247,
    "inception_v1": 82,
    "unet": 31,
    "vit_tiny": 212,
    "posenet": 31,
    "retinaface": 85,
}
"""Units at O1, so that a lost fusion is noticed."""


def compile_and_compare(proto: onnx.ModelProto, feeds: dict[str, np.ndarray], level: str) -> UnitGraph:
    expected = evaluate(proto, feeds)
    model = import_model(proto)
    run_pipeline(model, optimisation_level(level), verify_each=True)
    for actual, reference in zip(evaluate(model, feeds), expected, strict=True):
        assert relative_error(actual, reference) <= 1e-5
    return fuse(model)


@pytest.mark.parametrize("level", ["O0", "O1"])
@pytest.mark.parametrize("name", SMALL)
def test_small_network(name: str, level: str) -> None:
    proto = zoo.build(name)
    graph = compile_and_compare(proto, zoo.inputs(proto, 0), level)
    if level == "O1":
        assert len(graph) == UNITS[name], Counter((unit.kind, unit.op) for unit in graph)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in zoo.names() if name not in SMALL])
def test_large_network(name: str) -> None:
    proto = zoo.build(name)
    graph = compile_and_compare(proto, zoo.inputs(proto, 0), "O1")
    if name in UNITS:
        assert len(graph) == UNITS[name], Counter((unit.kind, unit.op) for unit in graph)


@pytest.mark.slow
@pytest.mark.parametrize("name", light_names())
def test_light_network(name: str) -> None:
    proto = light_model(name)
    graph = compile_and_compare(proto, zoo.inputs(proto, 0), "O1")
    assert len(graph) < len(proto.graph.node)


def test_same_input_same_text() -> None:
    texts = []
    for _ in range(2):
        model = import_model(zoo.build("shufflenetv2"))
        run_pipeline(model, optimisation_level("O1"))
        texts.append(print_model(model) + "\n".join(f"{unit.name} {unit.kind} {unit.steps}" for unit in fuse(model)))
    assert texts[0] == texts[1]
