"""Whole models on one processor of a target, from its cost table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from examples import zoo
from examples.quantise import quantise
from hetpart.api import predict
from hetpart.compiler import Options, decide
from hetpart.errors import HetpartError
from hetpart.phases import Phases
from hetpart.targets import load_target

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def squeezenet() -> onnx.ModelProto:
    return zoo.build("squeezenet")


@pytest.fixture
def own_file(tmp_path: Path) -> str:
    path = tmp_path / "my.toml"
    path.write_text((ROOT / "targets" / "sd855.toml").read_text())
    return str(path)


@pytest.mark.parametrize("target", ["host", "kirin985"])
def test_the_estimate_is_that_of_the_compiler_on_one_processor(squeezenet: onnx.ModelProto, target: str) -> None:
    found = predict(squeezenet, target)
    decision = decide(squeezenet, load_target(target), Options(strategy="cpu"), Phases())
    assert found.latency_us == pytest.approx(decision.forecasts.plan.median_us, rel=0.01)
    assert sum(found.shares.values()) == pytest.approx(1)
    assert (found.method, found.left_out) == ("cost-table", ())


def test_a_file_of_the_user_counts_even_where_its_name_is_a_chip(squeezenet: onnx.ModelProto, own_file: str) -> None:
    path = Path(own_file).rename(Path(own_file).with_name("sd855.toml"))
    before = predict(squeezenet, str(path)).latency_us
    path.write_text(path.read_text().replace("generic = ", "conv1x1 = 9.0\ngeneric = ", 1))
    assert predict(squeezenet, str(path)).latency_us < before
    assert predict(squeezenet, "sd855").method == "published-latencies"


def test_no_band_is_claimed(squeezenet: onnx.ModelProto, own_file: str) -> None:
    found = predict(squeezenet, own_file, processor="gpu").to_json()
    assert (found["method"], found["band_us"], found["threads"]) == ("cost-table", None, None)
    assert "my" in found["extrapolated"]


def test_another_engine_is_extrapolated_to_a_chip_that_nobody_measured(squeezenet: onnx.ModelProto) -> None:
    found = predict(squeezenet, "kirin985", engine="ncnn", threads=1)
    assert found.method == "published-latencies"
    assert "kirin985" in found.extrapolated


def test_float16_halves_what_convolutions_take(squeezenet: onnx.ModelProto, own_file: str) -> None:
    full, half = (predict(squeezenet, own_file, dtype=dtype) for dtype in ("fp32", "fp16"))
    assert half.latency_us < full.latency_us
    assert "fp16_conv" in half.shares


def test_a_gpu_computes_in_float32_whatever_is_stored(squeezenet: onnx.ModelProto, own_file: str) -> None:
    full, half = (predict(squeezenet, own_file, processor="gpu", dtype=dtype) for dtype in ("fp32", "fp16"))
    assert half.latency_us < full.latency_us
    assert set(half.shares) <= set(full.shares)


def test_a_quantised_model_is_priced_in_int8(squeezenet: onnx.ModelProto, own_file: str) -> None:
    found = predict(quantise(squeezenet), own_file, dtype="int8")
    assert "int8_conv" in found.shares
    with pytest.raises(HetpartError, match="unknown-dtype"):
        predict(quantise(squeezenet), own_file)


def test_what_the_processor_cannot_run_is_named() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 13]>
        g (float[1,8,8,8] x) => (float[1,8,8,8] z) { y = Relu(x) [sum] z = CumSum(y, axis) }""")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1), "axis"))
    assert predict(model, "host").left_out == ()
    assert predict(model, "host", processor="gpu").left_out == ("sum",)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"engine": "ncnn"}, "unknown-engine"),
        ({"threads": 3}, "bad-threads"),
        ({"dtype": "int8"}, "unknown-dtype"),
        ({"processor": "gpu", "dtype": "int8"}, "unknown-dtype"),
        ({"processor": "gpu", "memory": "buffer"}, "bad-option"),
        ({"processor": "npu"}, "unknown-processor"),
        ({"processor": "dsp"}, "no-costs"),
    ],
)
def test_what_the_table_does_not_tell_is_refused(
    squeezenet: onnx.ModelProto, own_file: str, options: dict[str, str], code: str
) -> None:
    with pytest.raises(HetpartError) as caught:
        predict(squeezenet, own_file, **options)  # type: ignore[arg-type]  # few names
    assert caught.value.code == code


def test_a_name_that_is_neither_chip_nor_file(squeezenet: onnx.ModelProto) -> None:
    with pytest.raises(HetpartError, match="unknown-chip"):
        predict(squeezenet, "sd85")
