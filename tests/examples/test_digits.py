"""The digits network: what is committed is what the documents say of it, and what repair is for can be seen on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import hetpart
from examples.digits import INPUT, MODEL, Digits, load
from examples.digits.compress import accuracy, accuracy_of, compress


@pytest.fixture(scope="module")
def held_out() -> Digits:
    return load()[1]


def test_the_data_are_split_and_in_range(held_out: Digits) -> None:
    training, _ = load()
    assert (training.images.shape, held_out.images.shape) == ((1197, 1, 8, 8), (600, 1, 8, 8))
    assert held_out.images.dtype == np.float32
    assert (held_out.images.min(), held_out.images.max()) == (0, 1)
    assert np.bincount(held_out.labels).min() > 40
    seen = {image.tobytes() for image in training.images}
    assert not any(image.tobytes() in seen for image in held_out.images)


def test_the_model_is_as_it_was_trained(held_out: Digits) -> None:
    model = onnx.load(MODEL)
    onnx.checker.check_model(model, full_check=True)
    assert sum(node.op_type == "BatchNormalization" for node in model.graph.node) == 10
    assert MODEL.stat().st_size < 300_000
    assert accuracy_of(model, held_out) == pytest.approx(0.993, abs=0.002)


def test_pruned_by_a_third_and_repaired_without_labels(held_out: Digits) -> None:
    training, _ = load()
    unlabelled = Digits(training.images[:128], np.empty(0))
    result = compress("prune-channels{ratio=0.3,multiple=1}", unlabelled)
    onnx.checker.check_model(result.repaired, full_check=True)
    assert accuracy_of(result.original, held_out) == pytest.approx(0.993, abs=0.002)
    assert 0.46 <= accuracy_of(result.one_shot, held_out) <= 0.73
    assert accuracy_of(result.repaired, held_out) >= 0.95


@pytest.mark.slow
def test_compiled_it_recognises_what_the_model_does(held_out: Digits, tmp_path: Path) -> None:
    training, _ = load()
    result = compress("prune-channels{ratio=0.5,multiple=16}", training, "repair{samples=128}")
    onnx.save(result.repaired, tmp_path / "smaller.onnx")
    hetpart.compile(tmp_path / "smaller.onnx", "host", output=tmp_path / "smaller.hetpart")
    with hetpart.load(tmp_path / "smaller.hetpart") as session:
        assert session.run({INPUT: held_out.images[:1]})["logits"].shape == (1, 10)
        right = accuracy(session.run, held_out)
    assert right == pytest.approx(accuracy_of(result.repaired, held_out), abs=0.002)
    assert right >= 0.95
