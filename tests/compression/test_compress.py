"""The compressed model as a file, what is counted of it, and how its accuracy is judged."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import hetpart
from examples import zoo
from hetpart.compression import Accuracy, AccuracyOptions, Similarity
from hetpart.compression.compress import CompressReport, compress
from hetpart.compression.intervals import paired_difference, wilson
from hetpart.errors import HetpartError
from hetpart.targets import load_target
from hetpart.verify import reference
from tests.compression.support import PASS, classes, images, write_labelled
from tests.numerics import relative_error

SD855 = load_target("sd855")


def run(source: Path, passes: str = PASS, output: Path | None = None, **options: object) -> CompressReport:
    return compress(source, SD855, passes, AccuracyOptions(**options), output=output)  # type: ignore[arg-type]  # few names


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_labelled(tmp_path_factory.mktemp("labelled"))


@pytest.mark.parametrize("name", ["squeezenet", "bert_tiny", "shufflenetv2"])
def test_the_written_model_is_plain_onnx_and_counted_right(name: str, tmp_path: Path) -> None:
    source, output = tmp_path / "in.onnx", tmp_path / "out.onnx"
    onnx.save(zoo.build(name), source)
    before = digest(source)
    report = run(source, "prune-channels{ratio=0.4}", output)
    assert digest(source) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.onnx", "out.onnx"]
    onnx.checker.check_model(output, full_check=True)
    written, original = onnx.load(output), onnx.load(source)
    assert {entry.domain for entry in written.opset_import} == {""}
    assert [value.name for value in written.graph.input] == [value.name for value in original.graph.input]
    assert [value.name for value in written.graph.output] == [value.name for value in original.graph.output]
    last = report.stages[-1]
    typed = onnx.shape_inference.infer_shapes(written, strict_mode=True)
    assert (last.size.macs, last.size.parameters) == (zoo.macs(typed), zoo.parameters(written))
    assert last.size.macs < report.stages[0].size.macs == zoo.macs(original)
    assert last.predicted_us < report.stages[0].predicted_us
    assert report.output_bytes == output.stat().st_size < source.stat().st_size
    found = {entry.key: entry.value for entry in written.metadata_props}
    assert found["hetpart.passes"] == "prune-channels{ratio=0.4}"
    assert found["hetpart.accuracy"] == "accuracy not evaluated"
    feeds = zoo.inputs(original)
    for name, value in reference(output, feeds).items():
        assert value.shape == reference(source, feeds)[name].shape
        assert relative_error(value, reference(source, feeds)[name]) > 1e-3  # the function did change


def test_the_written_model_is_what_was_judged(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    """Accuracy, intervals and drop, counted again on the written file."""
    model, heldout = labelled
    report = run(model, output=tmp_path / "out.onnx", evaluation=str(heldout), max_drop=90.0)
    accuracy = report.compression.accuracy
    assert isinstance(accuracy, Accuracy)
    data = np.load(heldout)
    right = [classes(path, data["image"]) == data["labels"] for path in (model, tmp_path / "out.onnx")]
    n = len(data["labels"])
    assert (accuracy.n, accuracy.metric, accuracy.percent) == (n, "top-1 accuracy", True)
    assert [score.model for score in accuracy.scores] == ["original", PASS]
    for score, found in zip(accuracy.scores, right, strict=True):
        assert score.value == pytest.approx(100 * found.mean())
        assert score.interval == pytest.approx([100 * bound for bound in wilson(int(found.sum()), n)])
    lost, won = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    assert lost > 20  # a drop worth stating
    assert accuracy.drop == pytest.approx(100 * (lost - won) / n)
    assert accuracy.scores[1].drop_interval == pytest.approx([100 * b for b in paired_difference(lost, won, n)])
    assert accuracy.scores[0].drop_interval is None
    stated = {entry.key: entry.value for entry in onnx.load(tmp_path / "out.onnx").metadata_props}
    assert f"{accuracy.scores[1].value:.1f} % on {n} samples" in stated["hetpart.accuracy"]


def test_the_python_function_does_what_the_verb_does(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    model, heldout = labelled
    report = hetpart.compress(model, "sd855", passes=PASS, output=str(tmp_path / "a.onnx"), evaluation=str(heldout))
    other = run(model, output=tmp_path / "b.onnx", evaluation=str(heldout))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert report.compression.accuracy == other.compression.accuracy
    with pytest.raises(HetpartError, match="there is no pass called 'prune'"):
        hetpart.compress(model, passes="prune")


def test_what_was_compressed_before_keeps_its_history(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    once, twice = tmp_path / "once.onnx", tmp_path / "twice.onnx"
    run(labelled[0], output=once)
    report = run(once, "prune-channels{multiple=4,ratio=0.5}", twice, evaluation=str(labelled[1]))
    stated = {entry.key: entry.value for entry in onnx.load(twice).metadata_props}
    assert stated["hetpart.passes"] == f"{PASS}; then prune-channels{{multiple=4,ratio=0.5}}"
    assert stated["hetpart.accuracy"] == f"accuracy not evaluated; then {report.compression.verdict}"


def test_every_lossy_pass_is_judged(labelled: tuple[Path, Path]) -> None:
    model, heldout = labelled
    report = run(model, "prune-channels{multiple=4},dce,prune-channels{multiple=4,ratio=0.5}", evaluation=str(heldout))
    accuracy = report.compression.accuracy
    assert isinstance(accuracy, Accuracy)
    steps = ["original", "prune-channels{multiple=4}", "dce", "prune-channels{ratio=0.5,multiple=4}"]
    assert [stage.name for stage in report.stages] == steps
    assert [score.model for score in accuracy.scores] == [step for step in steps if step != "dce"]


def test_what_costs_too_much_is_not_written(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    model, heldout = labelled
    report = run(model, output=tmp_path / "out.onnx", evaluation=str(heldout), max_drop=1.0)
    assert "--max-drop allows 1" in report.refused
    assert report.output == ""
    assert list(tmp_path.iterdir()) == []


def test_without_labels_outputs_are_compared(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    model, _ = labelled
    samples = images(30, seed=5)
    np.savez(tmp_path / "calibration.npz", image=samples)
    report = run(model, output=tmp_path / "out.onnx", calibration=tmp_path / "calibration.npz", seed=3)
    similarity = report.compression.accuracy
    assert isinstance(similarity, Similarity)
    assert (similarity.n, similarity.seed) == (30, 3)
    a, b = (
        np.stack([reference(path, {"image": sample[None]})["logits"][0] for sample in samples]).astype(np.float64)
        for path in (model, tmp_path / "out.onnx")
    )
    cosines = [float(x @ y / np.linalg.norm(x) / np.linalg.norm(y)) for x, y in zip(a, b, strict=True)]
    (score,) = similarity.scores
    assert score.cosine == pytest.approx(np.mean(cosines), abs=1e-6)
    assert score.interval[0] < score.cosine < score.interval[1]
    assert score.snr_db == pytest.approx(10 * np.log10((a**2).sum() / ((a - b) ** 2).sum()), abs=1e-3)
    assert "accuracy not evaluated" in report.compression.verdict
    assert "accuracy not evaluated" in report.compression.lines()[2]


METRIC = """
import random
import numpy as np
import onnx

calls = []

def size(path):
    print("a function may print")
    calls.append((random.random(), float(np.random.rand()), path))
    return np.float32(sum(np.prod(tensor.dims) for tensor in onnx.load(path).graph.initializer if tensor.dims[1:]))

def fails(path):
    raise OSError("no data")

def nan(path):
    return float("nan")

def text(path):
    return "3"

def nothing(path):
    pass

def leaves(path):
    raise SystemExit(0)

def second(path):
    calls.append(path)
    return [1.0, "bad"][len(calls) > 1]

number = 3
"""


@pytest.fixture
def metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module in the current folder."""
    (tmp_path / "own_metric.py").write_text(METRIC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_metric", raising=False)
    return tmp_path


def test_a_function_of_the_user_s(labelled: tuple[Path, Path], metric: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report = run(labelled[0], evaluation="own_metric:size", seed=4, max_drop=2000.0)
    accuracy = report.compression.accuracy
    assert isinstance(accuracy, Accuracy)
    assert [score.value for score in accuracy.scores] == [3040, 1848]
    assert accuracy.drop == 3040 - 1848
    assert (accuracy.n, accuracy.scores[1].interval) == (None, None)
    assert report.refused == ""
    first, second = sys.modules["own_metric"].calls
    assert first[:2] == second[:2]  # the same random numbers for every model
    assert first[2] == str(labelled[0])
    out, err = capfd.readouterr()
    assert (out, err) == ("", "a function may print\n" * 2)


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("fails", "eval-failed", "OSError: no data"),
        ("nan", "eval-failed", "returned nan for original"),
        ("text", "eval-failed", "returned '3'"),
        ("nothing", "eval-failed", "returned None"),
        ("leaves", "eval-failed", "SystemExit"),
        ("second", "eval-failed", f"returned 'bad' for {PASS}"),
        ("number", "bad-eval", "is no function but 3"),
        ("missing", "bad-eval", "no attribute 'missing'"),
    ],
)
def test_functions_that_are_no_metric(
    labelled: tuple[Path, Path], metric: Path, name: str, code: str, says: str
) -> None:
    with pytest.raises(HetpartError, match=says.replace("{", r"\{")) as caught:
        run(labelled[0], output=metric / "out.onnx", evaluation=f"own_metric:{name}")
    assert caught.value.code == code
    assert [path.name for path in metric.glob("*.onnx")] == []


def test_a_limit_that_nothing_can_miss_is_a_mistake_of_unit(labelled: tuple[Path, Path], metric: Path) -> None:
    with pytest.raises(HetpartError, match="allows everything") as caught:
        run(labelled[0], evaluation="own_metric:size", max_drop=1e6)
    assert caught.value.code == "bad-option"


def test_tied_weights_are_written_once(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 13]> g (float[1,32] x) => (float[1,16] y) {
        [up] a = MatMul(x, narrow) b = Relu(a) [first] c = MatMul(b, table) d = Relu(c) [second] e = MatMul(d, table)
        f = Relu(e) [third] h = MatMul(f, table) i = Relu(h) [down] y = MatMul(i, last)
    }"""
    random, model = np.random.default_rng(0), onnx.parser.parse_model(text)
    for name, shape in {"narrow": (32, 64), "table": (64, 64), "last": (64, 16)}.items():
        data = random.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(data, name))
    onnx.save(model, tmp_path / "in.onnx")
    passes = 'prune-channels{layers="up:0.5 first:0 second:0 third:0"}'
    report = run(tmp_path / "in.onnx", passes, tmp_path / "out.onnx")
    shapes = sorted(tuple(tensor.dims) for tensor in onnx.load(tmp_path / "out.onnx").graph.initializer)
    assert shapes == [(32, 32), (32, 64), (64, 16), (64, 64)]  # the first reader has lost half of the table's rows
    assert report.stages[0].size.parameters == 32 * 64 + 64 * 64 + 64 * 16
    assert report.stages[1].size.parameters == 32 * 32 + 32 * 64 + 64 * 64 + 64 * 16


def test_weights_beside_the_model(tmp_path: Path) -> None:
    """Where the large weights of the input lie apart, those of the output do."""
    (tmp_path / "in").mkdir()
    source, output = tmp_path / "in" / "model.onnx", tmp_path / "out.onnx"
    onnx.save(zoo.build("bert_tiny"), source, save_as_external_data=True, location="w.bin")
    before = (digest(source), digest(source.with_name("w.bin")))
    report = run(source, "prune-channels", output)
    assert (digest(source), digest(source.with_name("w.bin"))) == before
    data = tmp_path / "out.onnx.data"
    assert report.output_bytes == output.stat().st_size + data.stat().st_size
    onnx.checker.check_model(output, full_check=True)
    inputs = zoo.inputs(onnx.load(source))
    for name, value in reference(output, inputs).items():
        assert 1e-3 < relative_error(value, reference(source, inputs)[name]) < 2, name


def test_many_weights_lie_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a model of more than a GiB, with a lower limit."""
    monkeypatch.setattr("hetpart.rewritten.EXTERNAL_BYTES", 1 << 20)
    source, output = tmp_path / "in.onnx", tmp_path / "out.onnx"
    onnx.save(zoo.build("squeezenet"), source)
    report = run(source, "prune-channels", output)
    data = tmp_path / "out.onnx.data"
    assert report.output_bytes == output.stat().st_size + data.stat().st_size
    assert data.stat().st_size > output.stat().st_size
    onnx.checker.check_model(output, full_check=True)
    assert zoo.parameters(onnx.load(output)) == report.stages[-1].size.parameters
    with pytest.raises(HetpartError) as caught:
        compress(source, SD855, "prune-channels", AccuracyOptions(), output=tmp_path / "out.onnx")
    assert caught.value.code == "output-exists"
    monkeypatch.undo()
    report = compress(source, SD855, "prune-channels", AccuracyOptions(), output=tmp_path / "out.onnx", overwrite=True)
    assert (data.exists(), report.output_bytes) == (False, output.stat().st_size)  # it belonged to what was replaced
    data.write_text("the user's")
    for before in ("a model", "no model", "nothing"):  # none of which has weights there
        if before == "no model":
            output.write_text(before)
        elif before == "nothing":
            output.unlink()
        compress(source, SD855, "prune-channels", AccuracyOptions(), output=output, overwrite=True)
        assert data.read_text() == "the user's"
    run(source, "prune-channels", tmp_path / "whole.onnx")
    inputs = zoo.inputs(onnx.load(source))
    np.testing.assert_array_equal(
        reference(output, inputs)["logits"], reference(tmp_path / "whole.onnx", inputs)["logits"]
    )


def test_nothing_to_do_says_so_and_writes_nothing(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[1,4] x) => (float[1,4] y) { y = Relu(x) }'
    )
    onnx.save(model, tmp_path / "in.onnx")
    report = run(tmp_path / "in.onnx", "prune-channels", tmp_path / "out.onnx")
    assert (report.changed, report.output) == (False, "")
    assert report.refused.startswith("nothing to do")
    assert report.compression.lines()[0] == "prune-channels: nothing to do, no layer makes channels"
    assert [path.name for path in tmp_path.iterdir()] == ["in.onnx"]
