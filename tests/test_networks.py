"""Whole networks through the whole compiler: what comes out is what onnxruntime computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.two_branches import two_branches
from examples.quantise import quantise
from examples.zoo import build as build_model
from examples.zoo import names
from examples.zoo.builder import Builder
from hetpart.build import build
from hetpart.compiler import Options
from hetpart.report.compile import CompileReport
from hetpart.report.trace import overlap_us
from hetpart.runtime.session import Session
from hetpart.verify import TOLERANCE, tolerance
from tests.models import light_model, light_names
from tests.test_precision import needs_float16

QUICK = {
    ("squeezenet", "host"),
    ("squeezenet", "sd855"),
    ("mobilenetv3_small", "host"),
    ("bert_tiny", "host"),
    ("retinaface", "host"),
    ("shufflenetv2", "host"),
    ("light_squeezenet", "sd855"),
    ("light_shufflenet", "host"),
}
"""A sample with every kind of unit; the rest take minutes and are marked slow."""


def cases() -> list[object]:
    return [
        pytest.param(name, target, marks=() if (name, target) in QUICK else pytest.mark.slow)
        for name in (*names(), *light_names())
        for target in ("host", "sd855")
    ]


def compiled(name: str, target: str, folder: Path, **options: object) -> CompileReport:
    model = light_model(name) if name.startswith("light_") else build_model(name)
    return build(model, target, folder / f"{name}.hetpart", Options(**options))  # type: ignore[arg-type]  # few names


@pytest.mark.parametrize(("name", "target"), cases())
def test_the_compiled_network_is_right(name: str, target: str, tmp_path: Path) -> None:
    report = compiled(name, target, tmp_path)
    assert report.verify["outputs"]
    for output, found in report.verify["outputs"].items():
        assert found["rel_l2"] <= TOLERANCE, output
    assert report.makespan_us <= report.baselines_us["cpu"], "contention included: others are no single processors"
    assert report.lower_bound_us <= report.makespan_us


@pytest.mark.parametrize("strategy", ["cpu", "gpu"])
def test_a_network_with_channels_last(strategy: str, tmp_path: Path) -> None:
    b = Builder("channels-last", 0)
    x = b.transpose(b.input("input", (2, 11, 9, 3)), 0, 3, 1, 2)
    y = b.conv(b.conv(x, 20, 3, bias=True), 21, 3, stride=2, bias=True)
    model = b.finish(scores=b.transpose(y, 0, 2, 3, 1))
    report = build(model, "host", tmp_path / "bundle", Options(strategy=strategy), verify="segments")
    assert report.verify["outputs"]["scores"]["rel_l2"] <= TOLERANCE


@pytest.mark.parametrize("strategy", ["cpu", "gpu", "heft"])
def test_every_strategy_gives_the_same_answer(strategy: str, tmp_path: Path) -> None:
    report = compiled("squeezenet", "host", tmp_path, strategy=strategy)
    assert report.strategy == strategy
    assert report.verify["outputs"]["logits"]["rel_l2"] <= TOLERANCE


def test_without_fusion_the_answer_is_the_same(tmp_path: Path) -> None:
    report = compiled("squeezenet", "host", tmp_path, level="O0", strategy="cpu")
    assert report.verify["outputs"]["logits"]["rel_l2"] <= TOLERANCE
    assert any(row.op == "Relu" for row in report.units)


def test_two_branches_run_at_once(tmp_path: Path) -> None:
    report = build(two_branches(), "host", tmp_path / "bundle", Options())
    assert {row.processor for row in report.units if row.processor} == {"cpu", "gpu"}
    with Session(tmp_path / "bundle") as session:
        x = {"x": np.ones((1, 64, 56, 56), np.float32)}
        overlaps = []
        for _ in range(10):  # a loaded machine may run the two one after the other now and then
            session.run(x)
            overlaps.append(overlap_us(session.trace()))
    assert max(overlaps) > 0


@pytest.mark.parametrize(
    ("name", "target", "operators", "activations"),
    [
        ("squeezenet", "host", False, "uint8"),
        ("squeezenet", "sd855", True, "int8"),
        *(
            pytest.param(name, target, operators, activations, marks=pytest.mark.slow)
            for name in ("resnet18", "mobilenetv2", "mobilenetv3_small", "inception_v1")
            for target, operators, activations in (
                ("host", False, "int8"), ("host", True, "uint8"), ("sd855", False, "uint8")
            )
        ),
    ],
)  # fmt: skip
def test_quantised_networks_are_computed_in_integers_and_exactly(
    name: str, target: str, operators: bool, activations: str, tmp_path: Path
) -> None:
    model = quantise(build_model(name), operators=operators, activations=activations)
    report = build(model, target, tmp_path / "bundle", Options())
    for output, found in report.verify["outputs"].items():
        # hard swish and its like are computed in real numbers, which may round another way
        assert found["rel_l2"] == 0.0 or (name == "mobilenetv3_small" and found["rel_l2"] < 1e-2), output
    integers = [row.op for row in report.units if row.op.endswith("(int8)")]
    assert sum("Conv" in op for op in integers) > 15
    assert not any(row.op.startswith("Conv") for row in report.units if row.op not in integers)


@pytest.mark.parametrize(
    ("name", "target", "strategy"),
    [
        ("squeezenet", "sd855", "gpu"),
        *(
            pytest.param(name, target, strategy, marks=(pytest.mark.slow, *marks))
            for name in (
                "resnet18", "mobilenetv2", "mobilenetv3_small", "shufflenetv2", "inception_v1", "unet", "vit_tiny",
                "bert_tiny",
            )
            for target, strategy, marks in (("sd855", "gpu", ()), ("host", "heft", (needs_float16,)))
            if target != "host" or name in ("resnet18", "shufflenetv2", "inception_v1", "unet", "bert_tiny")
        ),
    ],
)  # fmt: skip
def test_networks_in_float16_are_right_on_both_processors(
    name: str, target: str, strategy: str, tmp_path: Path
) -> None:
    report = compiled(name, target, tmp_path, precision="fp16", strategy=strategy)
    assert "gpu" in {row.processor for row in report.units}
    storage = "float16" if strategy == "gpu" else "float16-arithmetic"
    for output, found in report.verify["outputs"].items():
        assert 1e-5 < found["rel_l2"] <= tolerance(np.dtype(np.float32), storage), output


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert_tiny", "shufflenetv2", "unet"])
def test_networks_that_are_quantised_in_part_are_right(name: str, tmp_path: Path) -> None:
    report = build(quantise(build_model(name)), "host", tmp_path / "bundle", Options())
    assert any(row.op.endswith("(int8)") for row in report.units)


def test_weights_per_tensor_or_unsigned_are_taken_too(tmp_path: Path) -> None:
    model = quantise(build_model("squeezenet"), per_channel=False, weights="uint8")
    report = build(model, "host", tmp_path / "bundle", Options(strategy="cpu"))
    assert all(found["rel_l2"] < 1e-2 for found in report.verify["outputs"].values())
