"""Engines in their processes: onnxruntime as the real component, hetpart beside it."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks import engines
from benchmarks.turns import difference, measure, parse_cores
from benchmarks.worker import Worker
from examples import zoo
from tests.cli.support import write_tiny

CORE = min(os.sched_getaffinity(0))


def test_a_worker_runs_the_model_on_its_core_alone(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.onnx")
    model = onnx.load(path)
    feeds = zoo.inputs(model)
    reference = engines.engine("onnxruntime").load(path, [CORE])(feeds)
    with Worker("onnxruntime", path, [CORE]) as worker:
        outputs = worker.outputs(feeds)
        turns = worker.turn(3)
        cores = worker.threads()
    assert outputs.keys() == reference.keys() == {output.name for output in model.graph.output}
    assert difference(outputs, reference) == 0.0
    assert len(turns) == 3
    assert all(turn.cpu_ms > 0 and turn.wall_ms > 0 for turn in turns)
    assert {core for text in cores.values() for core in parse_cores(text)} == {CORE}


def test_a_model_that_cannot_be_loaded_is_an_error_with_the_engine_s_words(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(RuntimeError, match=r"InvalidProtobuf|INVALID_PROTOBUF"):
        Worker("onnxruntime", tmp_path / "broken.onnx", [CORE])


def test_an_engine_that_is_not_installed_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.engine("mnn"), "PACKAGES", ("MNN", "surely-not-installed"))
    model = onnx.load(write_tiny(tmp_path / "tiny.onnx"))
    results = measure(model, ["hetpart", "onnxruntime", "mnn"], [CORE], rounds=2)
    assert list(results) == ["hetpart", "onnxruntime", "mnn"]
    assert results["mnn"].status == "absent"
    assert results["mnn"].reason.endswith("not installed")
    for name in ("hetpart", "onnxruntime"):
        assert results[name].status == "measured", results[name].reason
        assert results[name].runs >= 2
        assert results[name].cpu_ms is not None
    assert results["hetpart"].error is not None
    assert results["hetpart"].error < 1e-5
    assert engines.version("onnxruntime") == metadata.version("onnxruntime")


def test_an_engine_that_computes_something_else_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny(tmp_path / "tiny.onnx")
    model = onnx.load(path)
    other = onnx.load(path)
    for tensor in other.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values * np.float32(1.1), tensor.name))
    onnx.save(other, tmp_path / "other.onnx")
    build = engines.engine("hetpart").prepare
    monkeypatch.setattr(engines.engine("hetpart"), "prepare", lambda _, folder: build(tmp_path / "other.onnx", folder))
    results = measure(model, ["hetpart", "onnxruntime"], [CORE], rounds=1)
    assert results["hetpart"].status == "wrong"
    assert results["hetpart"].cpu_ms is None


def test_difference_is_the_worst_output_s() -> None:
    expected = {"a": np.array([3.0, 4.0]), "b": np.zeros(2)}
    assert difference({"a": np.array([3.0, 4.5]), "b": np.zeros(2)}, expected) == pytest.approx(0.1)
    assert difference({"a": np.array([3.0, 4.0]), "b": np.array([0.0, 0.2])}, expected) == pytest.approx(0.2)
    for wrong in ({"a": expected["a"]}, expected | {"a": np.zeros((1, 2))}, expected | {"a": np.array([np.nan, 4.0])}):
        assert difference(wrong, expected) == float("inf")


def test_core_lists() -> None:
    assert parse_cores("0-2,5") == {0, 1, 2, 5}
    assert parse_cores("7") == {7}
