"""A wrong result never gets a bundle's name. Here it is the reference that is bent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper, parser
from rich.console import Console

import hetpart
from hetpart import rehearse, targets
from hetpart.build import build
from hetpart.bundle.planfile import decode_plan
from hetpart.bundle.read import read_bundle
from hetpart.compiler import Options
from hetpart.errors import InternalError
from hetpart.report.compile_text import print_compile
from hetpart.verify import HALF_STORAGE_TOLERANCE, reference, spread
from tests.cli.support import write_tiny


@pytest.fixture
def bent(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime's results, off by 1 %: the model's output, and what the second convolution's unit makes."""
    true_reference = rehearse.reference

    def reference(source: Any, inputs: Any, outputs: list[str] | None = None, **how: bool) -> dict[str, np.ndarray]:
        results = true_reference(source, inputs, outputs, **how)
        return {name: a * np.float32(1.01) if name in ("d", "logits") else a for name, a in results.items()}

    monkeypatch.setattr(rehearse, "reference", reference)


def compiled(folder: Path, **arguments: Any) -> InternalError:
    model = write_tiny(folder / "tiny.onnx")
    with pytest.raises(InternalError) as caught:
        hetpart.compile(model, output=folder / "out", **arguments)
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.onnx"]
    assert caught.value.code == "wrong-result"
    return caught.value


@pytest.mark.usefixtures("bent")
@pytest.mark.parametrize("target", ["host", "sd855"])
def test_a_wrong_output_is_named(tmp_path: Path, target: str) -> None:
    error = compiled(tmp_path, target=target)
    assert error.node == "logits"
    assert "--verify segments" in str(error.hint)


@pytest.mark.parametrize("memory", ["image", "buffer"])
def test_maps_in_half_are_held_to_what_half_can_do(tmp_path: Path, memory: str) -> None:
    text = (Path(targets.__file__).parent / "sd855.toml").read_text()
    text = text.replace('storage = "float32"', 'storage = "float16"').replace(
        'memory = "image"', f'memory = "{memory}"'
    )
    (tmp_path / "half.toml").write_text(text)
    model = write_tiny(tmp_path / "tiny.onnx")
    report = build(model, str(tmp_path / "half.toml"), tmp_path / "out", Options(strategy="gpu"), verify="segments")
    assert {row.memory for row in report.units if row.processor == "gpu"} & {"half", "image"}
    assert 1e-5 < report.verify["outputs"]["logits"]["rel_l2"] <= HALF_STORAGE_TOLERANCE
    assert read_bundle(tmp_path / "out").manifest.decision["storage"] == "float16"


@pytest.mark.parametrize("memory", ["image", "buffer"])
def test_long_kernels_are_launched_in_parts(tmp_path: Path, memory: str) -> None:
    """With the same results; launches of one work-group that are still too long are named."""
    model = write_tiny(tmp_path / "tiny.onnx")
    reports = []
    for bound_us in (0, 1):
        text = (Path(targets.__file__).parent / "sd855.toml").read_text().replace('"image"', f'"{memory}"')
        own = tmp_path / f"bound{bound_us}.toml"
        own.write_text(re.sub(r"max_kernel_us = \d+", f"max_kernel_us = {bound_us}", text))
        out = tmp_path / f"out{bound_us}"
        reports.append(build(model, str(own), out, Options(strategy="gpu"), verify="segments"))
        steps = decode_plan((out / "plan.bin").read_bytes()).processors["gpu"]
        assert any(any(step.offset) for step in steps) == bool(bound_us)
    whole, cut = reports
    assert cut.verify["outputs"] == whole.verify["outputs"]
    assert not whole.long_us
    assert cut.long_us
    assert all(us > 1 for us in cut.long_us.values())
    console = Console(record=True, width=400)
    print_compile(cut, console)
    assert f"cannot be cut further: {next(iter(cut.long_us))} (" in console.export_text()


@pytest.mark.usefixtures("bent")
def test_segments_names_the_first_wrong_unit(tmp_path: Path) -> None:
    assert compiled(tmp_path, verify="segments").node == "conv2"


@pytest.mark.parametrize("verify", ["outputs", "segments"])
def test_every_plan_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verify: str) -> None:
    compared = []
    true_require = rehearse.require_equal

    def require_equal(differences: Any, expected: Any, how: str, *further: Any) -> None:
        compared.append(how.split(":")[0])
        true_require(differences, expected, how, *further)

    monkeypatch.setattr(rehearse, "require_equal", require_equal)
    options = Options(strategy="gpu", cpu_fallback=True)
    hetpart.compile(write_tiny(tmp_path / "tiny.onnx"), output=tmp_path / "out", options=options, verify=verify)
    assert compared == ["plan main", "plan cpu"]


def test_a_model_of_integer_operators_is_given_the_spread_of_its_real_form() -> None:
    rng = np.random.default_rng(0)
    model = parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]> g (uint8[1,4,64,64] x) => (float[1,8,64,64] y)
        { q = QLinearConv(x, s, z, w, s, v, t, z) y = DequantizeLinear(q, t, z) }"""
    )
    constants = {  # the multiplier is a half, not quite: sums fall on the edge of two integers every other time
        "s": np.float32(0.1), "t": np.float32(0.02), "z": np.uint8(120), "v": np.int8(0),
        "w": rng.integers(-9, 9, (8, 4, 1, 1)).astype(np.int8),
    }  # fmt: skip
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items())
    inputs = {"x": rng.integers(0, 256, (1, 4, 64, 64)).astype(np.uint8)}
    expected = reference(model, inputs)
    assert spread(model, inputs, expected) == {"y": 0.0}
    assert 0 < rehearse._spreads(model, inputs, expected)["y"] < 1e-2
