"""Attributing onnxruntime's nodes to hetpart's units."""

from __future__ import annotations

import pytest

from benchmarks.layers import Layer, Layers, markdown, match
from benchmarks.profile import Profiled, original_name
from benchmarks.shapes import describe
from examples import zoo
from hetpart.compiler import Options, prepare
from hetpart.phases import Phases


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("Conv_4", "Conv_4"),
        ("Relu_2.out_nchwc", "Relu_2.out"),
        ("BatchNormalization_4.out_bn_nchwc", "BatchNormalization_4.out"),
        ("MatMul_151/MatMulAddFusion", "MatMul_151"),
        ("fused Gemm_80", "Gemm_80"),
        ("MatMul_159/MatMulScaleFusion/", "MatMul_159"),
        ("/block/conv/Conv", "/block/conv/Conv"),
    ],
)
def test_names_without_what_onnxruntime_appends(name: str, original: str) -> None:
    assert original_name(name) == original


@pytest.mark.parametrize(("name", "anchors"), [("mobilenetv3_small", {"Conv"}), ("bert_tiny", {"Gemm", "MatMul"})])
def test_every_convolution_and_product_of_a_profile_finds_its_unit(name: str, anchors: set[str]) -> None:
    model = zoo.build(name)
    profiled = Profiled(model)
    profiled.run(zoo.inputs(model))
    durations = profiled.durations()
    units, _ = prepare(model, Options(), Phases())
    matched, rest = match({key: sum(values) for key, values in durations.items()}, units, model)
    assert sum(matched.values()) + sum(rest.values()) == pytest.approx(sum(map(sum, durations.values())))
    assert not {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"} & rest.keys()
    assert {unit.name for unit in units if unit.nodes and unit.anchor.op_type in anchors} <= matched.keys()


def test_shapes_in_words() -> None:
    units, _ = prepare(zoo.build("mobilenetv2"), Options(), Phases())
    shapes = {unit.name: describe(unit, units) for unit in units}
    assert shapes["Conv_0"] == "3x3/2 3>32 @112"
    assert shapes["Conv_3"] == "3x3 32>32 @112 depthwise"
    assert shapes["Gemm_151"] == "1x1280x1000"


def test_the_tables_add_up() -> None:
    layers = (
        Layer("Conv_0", "Conv+Relu", "3x3 8>8 @9", "conv", 50_000_000, 1.0, 0.5),
        Layer("MaxPool_1", "MaxPool", "1x8x4x4", "memory", 0, 0.25, 0.5),
        Layer("Add_2", "Add", "1x8x4x4", "memory", 0, 0.25, None),
    )
    text = markdown(Layers("net", layers, {"Reorder": 0.5}, (150.0, 250.0)), by_loss=True)
    assert "| conv | 1 | 0.050 | 1.000 | 0.500 | 2.00 | +0.500 | 100.0 | 50 |" in text
    assert "| **all, with onnxruntime's rest** | 3 | 0.050 | 1.500 | 1.500 | 1.00 | +0.000 | 66.7 | 33 |" in text
    assert text.index("| Conv_0 |") < text.index("| Add_2 |") < text.index("| MaxPool_1 |")
    assert text.endswith("Nodes of onnxruntime under other names, ms: Reorder 0.500.")
