"""Whole phone bundles run as they are, CPU and GPU parts, under qemu-aarch64 with an arm64 PoCL."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.quantise import quantise
from examples.zoo import build as build_model
from hetpart.build import build
from hetpart.compiler import Options
from hetpart.errors import HetpartError
from hetpart.runtime.emulate import default_sysroot, require_emulation
from hetpart.verify import HALF_TOLERANCE, TOLERANCE


@pytest.fixture(scope="module", autouse=True)
def emulation() -> None:
    try:
        require_emulation(default_sysroot())
    except HetpartError as error:
        pytest.skip(f"{error.message}; {error.hint}")


@pytest.mark.emulated
@pytest.mark.parametrize(
    ("name", "strategy", "processors"),
    [
        ("inception_v1", "heft", {"cpu", "gpu"}),
        pytest.param("resnet50", "ilp", {"cpu", "gpu"}, marks=pytest.mark.slow),
        # one processor alone is best for this one; the CPU's part is tested by the others
        pytest.param("mobilenetv2", "gpu", {"gpu"}, marks=pytest.mark.slow),
    ],
)
def test_the_bundle_is_right_under_emulation(name: str, strategy: str, processors: set[str], tmp_path: Path) -> None:
    report = build(build_model(name), "sd855", tmp_path / "bundle", Options(strategy=strategy), verify="emulate")
    assert "emulation" in report.verify["how"]
    assert {row.processor for row in report.units if row.processor} >= processors
    for output, found in report.verify["outputs"].items():
        assert found["rel_l2"] <= TOLERANCE, output


@pytest.mark.emulated
@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("mobilenetv2", "cpu"),
        pytest.param("squeezenet", "cpu", marks=pytest.mark.slow),
        pytest.param("resnet18", "cpu", marks=pytest.mark.slow),
        pytest.param("squeezenet", "gpu", marks=pytest.mark.slow),
    ],
)
def test_float16_is_right_under_emulation(name: str, strategy: str, tmp_path: Path) -> None:
    options = Options(precision="fp16", strategy=strategy)
    report = build(build_model(name), "sd855", tmp_path / "bundle", options, verify="emulate")
    assert "emulation" in report.verify["how"]
    assert {row.processor for row in report.units if row.processor} == {strategy}
    for output, found in report.verify["outputs"].items():
        assert 1e-5 < found["rel_l2"] <= HALF_TOLERANCE, output


@pytest.mark.emulated
@pytest.mark.parametrize(
    ("name", "activations"),
    [
        ("squeezenet", "int8"),
        pytest.param("mobilenetv2", "uint8", marks=pytest.mark.slow),
        pytest.param("resnet18", "int8", marks=pytest.mark.slow),
    ],
)
def test_quantised_bundles_are_exact_under_emulation(name: str, activations: str, tmp_path: Path) -> None:
    model = quantise(build_model(name), activations=activations)
    report = build(model, "sd855", tmp_path / "bundle", Options(), verify="emulate")
    assert "emulation" in report.verify["how"]
    for output, found in report.verify["outputs"].items():
        assert found["rel_l2"] == 0.0, output
