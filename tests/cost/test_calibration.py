"""The estimates for phones against published latencies of whole models, each by the law of the engine that ran it.

Sources: Paddle-Lite 2.8, docs/benchmark/benchmark.md at 7a407fbe (Mi 9, four threads, fp32, armv8); CoDL, MobiSys'22,
Fig. 15 (Mi 9, MACE in fp32 at full frequency; digitised, +-4 ms). ResNet-50 has no published figure on four threads:
161.1 ms on one core (Paddle-Lite 2.11, docs/performance/benchmark.md at 3d329c95) is scaled by 0.335, the ratio of
four threads to one that Paddle-Lite 2.8 states for MobileNetV1. In fp16: ncnn on four
threads of a OnePlus 7T, a Snapdragon 855+ (Tencent/ncnn at a4d2ea1d, benchmark/README.md).

Fast Style Transfer, which CoDL has too, is not compared: its network has 36 GMAC, the zoo's 47.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import onnx
import onnx_ir as ir
import pytest

from examples import zoo
from hetpart.cost import estimate, work
from hetpart.graph.assign import Assignment, assign
from hetpart.passes.fuse import fuse
from hetpart.passes.pipeline import optimisation_level, run_pipeline
from hetpart.targets import load_target
from hetpart.targets.schema import Processor

TARGET = load_target("sd855")

PUBLISHED_MS = [
    ("mobilenetv1", "cpu", "fp32", "paddle-lite", 10.0),
    ("mobilenetv1", "cpu", "fp16", "ncnn", 5.4),
    ("mobilenetv2", "cpu", "fp32", "paddle-lite", 7.8),
    ("resnet50", "cpu", "fp32", "paddle-lite", 161.1 * 0.335),
    ("vgg16", "cpu", "fp32", "mace", 221.8),
    ("yolov2", "cpu", "fp32", "mace", 238.3),
    ("vgg16", "gpu", "fp32", "mace", 217.7),
    ("yolov2", "gpu", "fp32", "mace", 213.6),
]


def running(engine: str, processor: str, precision: str) -> Processor:
    """A processor of `TARGET` with the kernels of an engine; ncnn was measured on the faster edition of the chip."""
    found = TARGET.processor(processor)
    assert found.cost is not None
    assert found.cost.law is not None
    law = replace(found.cost.law, **{precision: engine}, chip="sd855plus" if engine == "ncnn" else "sd855")
    return replace(found, cost=replace(found.cost, law=law))


@cache
def assigned(name: str, precision: str = "fp32") -> Assignment:
    model = ir.from_proto(onnx.shape_inference.infer_shapes(zoo.build(name), data_prop=True))
    run_pipeline(model, optimisation_level("O1"))
    return assign(fuse(model), TARGET.block, half=precision == "fp16")


@pytest.mark.parametrize(
    ("name", "processor", "precision", "engine", "published_ms"),
    [
        pytest.param(*row, marks=[pytest.mark.slow] if row[0] not in ("mobilenetv1", "mobilenetv2") else [])
        for row in PUBLISHED_MS
    ],
)
def test_whole_models_are_estimated_within_a_quarter(
    name: str, processor: str, precision: str, engine: str, published_ms: float
) -> None:
    assignment, runs_on = assigned(name, precision), running(engine, processor, precision)
    latency_us = sum(
        estimate(unit, assignment.layouts, assignment.graph, runs_on, half=assignment.half).latency_us
        for unit in assignment.graph
        if unit.name not in assignment.free
    )
    assert latency_us / 1e3 == pytest.approx(published_ms, rel=0.25)


def test_multiply_adds_are_the_published_ones() -> None:
    assignment = assigned("mobilenetv1")
    macs = sum(work(unit, assignment.graph, assignment.layouts).macs for unit in assignment.graph)
    assert macs / 1e6 == pytest.approx(569, rel=0.01)  # Howard et al., arXiv 1704.04861, table 4
