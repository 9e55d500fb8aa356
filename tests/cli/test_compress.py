"""``hetpart compress``: what it says, what it refuses, and that nothing is left behind then."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from tests.cli.support import Cli
from tests.compression.support import PASS, images, write_labelled

PRUNE = ("--target", "sd855", "--pass", PASS)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_labelled(tmp_path_factory.mktemp("labelled"))


def save(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def model(folder: Path, text: str) -> Path:
    onnx.save(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 13]> {text}'), folder / "model.onnx")
    return folder / "model.onnx"


def test_it_writes_a_model_and_says_what_it_did(cli: Cli, labelled: tuple[Path, Path], folder: Path) -> None:
    result = cli("compress", labelled[0], *PRUNE, "-o", "out.onnx", "--eval", labelled[1])
    assert (result.code, result.err) == (0, "")
    for text in ("3.07 k", "1.87 k", "-39.0 %", "predicted on sd855", "4 of 26 channels removed", "n = 120, seed 0"):
        assert text in result.out
    assert "percentage points (" in result.out
    assert "wrote out.onnx" in result.out
    onnx.checker.check_model("out.onnx", full_check=True)


def test_without_an_output_it_only_reports(cli: Cli, tiny: Path, folder: Path) -> None:
    result = cli("compress", tiny, *PRUNE)
    assert (result.code, result.err) == (0, "")
    assert "accuracy not evaluated\n" in result.out
    assert result.out.endswith("to write the model: -o OUT.onnx\n")
    assert list(folder.iterdir()) == []


def test_explain_names_groups_ties_and_what_stays(
    cli: Cli, tmp_path: Path, folder: Path, golden: Callable[[str], None]
) -> None:
    text = """g (float[1,8,64,64] x) => (float[1,6] y) {
        [stem] a = Conv<pads=[1,1,1,1]>(x, w0) [depthwise] b = Conv<group=32,pads=[1,1,1,1]>(a, w1)
        [act] c = Relu(b) [branch] d = Conv(c, w2) [residual] e = Add(d, a) [side] f = Conv(e, w3)
        [join] i = Concat<axis=1>(e, f) [grouped] j = Conv<group=2>(i, w4) [odd] k = Conv(j, w5)
        [sums] l = CumSum(k, axis) [pool] m = GlobalAveragePool(l) [last] n = Conv(m, w6) [flat] y = Flatten(n)
    }"""
    proto, random = (
        onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 13]> {text}'),
        np.random.default_rng(0),
    )
    shapes = [
        (32, 8, 3, 3), (32, 1, 3, 3), (32, 32, 1, 1), (32, 32, 1, 1), (24, 32, 1, 1), (16, 24, 1, 1), (6, 16, 1, 1),
    ]  # fmt: skip
    for index, shape in enumerate(shapes):
        data = random.standard_normal(shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(data, f"w{index}"))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1), "axis"))
    onnx.save(proto, tmp_path / "model.onnx")
    result = cli("compress", tmp_path / "model.onnx", *PRUNE, "--explain")
    assert (result.code, result.err) == (0, "")
    golden(result.out)


def test_json(cli: Cli, labelled: tuple[Path, Path], folder: Path) -> None:
    result = cli("compress", labelled[0], *PRUNE, "-o", "out.onnx", "--eval", labelled[1], "--seed", 3, "--json")
    report = result.json()
    assert (result.code, result.err, report["schema"], report["refused"]) == (0, "", 1, "")
    before, after = report["stages"]
    assert (before["name"], before["parameters"], before["flops"]) == ("original", 3066, 2 * before["macs"])
    assert (after["name"], after["parameters"], after["changed"]) == (PASS, 1870, True)
    assert after["predicted_us"] < before["predicted_us"]
    assert report["accuracy"].startswith("top-1 accuracy ")
    scores = report["evaluation"]["scores"]
    assert (report["evaluation"]["n"], report["evaluation"]["seed"]) == (120, 3)
    assert scores[0]["value"] - scores[1]["value"] == pytest.approx(scores[1]["drop"])
    assert report["passes"][0]["groups"][0]["tied_by"] == ["add (Add)"]
    assert report["output_bytes"] == Path("out.onnx").stat().st_size


def test_equal_outputs_are_json_too(cli: Cli, tmp_path: Path, folder: Path) -> None:
    """A channel that nothing hears of can go for free: the signal-to-noise ratio is infinite."""
    path = model(tmp_path, "g (float[1,4,8,8] x) => (float[1,4,8,8] y) { a = Conv(x, w) y = Conv(a, v) }")
    proto, random = onnx.load(path), np.random.default_rng(0)
    first, second = (random.standard_normal(shape).astype(np.float32) for shape in ((8, 4, 1, 1), (4, 8, 1, 1)))
    first[4:] = second[:, 4:] = 0
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for a, n in ((first, "w"), (second, "v")))
    onnx.save(proto, path)
    data = save(tmp_path, x=random.standard_normal((5, 4, 8, 8)).astype(np.float32))
    result = cli("compress", path, "--pass", "prune-channels{ratio=0.5,multiple=4}", "--calibration", data, "--json")
    report = result.json()
    (score,) = report["evaluation"]["scores"]
    assert (score["cosine"], score["snr_db"]) == (1.0, None)
    assert report["accuracy"].startswith("accuracy not evaluated")


def test_exit_code_1_if_it_costs_too_much(cli: Cli, labelled: tuple[Path, Path], folder: Path) -> None:
    before = hashlib.sha256(labelled[0].read_bytes()).hexdigest()
    result = cli("compress", labelled[0], *PRUNE, "-o", "out.onnx", "--eval", labelled[1], "--max-drop", 1.0)
    assert (result.code, result.err) == (1, "")
    assert "percentage points of top-1 accuracy, and --max-drop allows 1\nnothing was written\n" in result.out
    assert list(folder.iterdir()) == []
    assert hashlib.sha256(labelled[0].read_bytes()).hexdigest() == before


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("g (float[1,4] x) => (float[1,4] y) { y = Relu(x) }", "", "no layer makes channels"),
        (
            "g (float[1,4,8,8] x, float[8,4,1,1] w) => (float[1,8,8,8] y) { y = Conv(x, w) }", "",
            "no layer makes channels",
        ),
        (
            "g (float[1,4,8,8] x) => (float[1,8,8,8] y) <float[8,4,1,1] w = {0.5}> { y = Conv(x, w) }", "",
            "the model's output 'y' has it",
        ),
        (
            "g (float[1,4,8,8] x) => (float[1,4,8,8] y) <float[8,4,1,1] w = {0.5}, float[4,8,1,1] v = {0.5}> "
            "{ [first] a = Conv(x, w) y = Conv(a, v) }", "{multiple=8}",
            "first (8 channels) stays: 8 channels leave no multiple of 8 to remove",
        ),
        (
            "g (float[1,4,8,8] x) => (float[1,4,8,8] y) <float[8,4,1,1] w = {0.5}, float[4,8,1,1] v = {0.5}> "
            "{ [first] a = Conv(x, w) y = Conv(a, v) }", '{multiple=4,layers="first:0"}',
            "first (8 channels) stays: its ratio is 0",
        ),
    ],
)  # fmt: skip
def test_nothing_to_do_is_said_with_the_reason(
    cli: Cli, tmp_path: Path, folder: Path, text: str, options: str, says: str
) -> None:
    path = model(tmp_path, text)
    proto = onnx.load(path)
    for tensor in proto.graph.initializer:  # the parser does not repeat a single number
        data = np.full(tuple(tensor.dims), 0.5, np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(data, tensor.name))
    onnx.save(proto, path)
    result = cli("compress", path, "--pass", f"prune-channels{options}", "-o", "out.onnx")
    assert (result.code, result.err) == (1, "")
    assert says in result.out
    assert result.out.endswith("nothing to do: no pass changed the model\nnothing was written\n")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        *((f"ratio={ratio}", "bad-ratio") for ratio in ("0", "1", "1.5", "-0.1", "nan")),
        ("ratio=some", "bad-option"),
        ("importance=l7", "unknown-importance"),
        ("allocate=best", "unknown-allocation"),
        ("multiple=-1", "bad-multiple"),
        ('layers="conv1:1"', "bad-ratio"),  # that would leave no channel
        ('layers="conv9:0.5"', "unknown-group"),
    ],
)
def test_bad_options_of_the_pass(refused: Cli, tiny: Path, folder: Path, options: str, code: str) -> None:
    refused(code, "compress", tiny, "--pass", f"prune-channels{{{options}}}", "-o", "out.onnx")
    assert list(folder.iterdir()) == []


def _labelled(**changes: Any) -> dict[str, Any]:
    return {"image": images(6), "labels": np.arange(6)} | changes


DATA = {
    "wrong name": ({"picture": images(6)}, "which is no input of the model"),
    "wrong shape": ({"image": images(6)[:, :, 1:]}, "has shape (6, 4, 15, 16)"),
    "wrong dtype": ({"image": images(6).astype(np.float64)}, "is float64"),
    "NaN": ({"image": np.where(images(6) > 3, np.nan, images(6)).astype(np.float32)}, "NaN or infinite"),
    "no samples": ({"image": images(6)[:0]}, "no samples"),
    "objects": ({"image": np.array([None])}, "cannot read 'image'"),
}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("option", ["--calibration", "--eval"])
def test_bad_samples(refused: Cli, tiny: Path, tmp_path: Path, folder: Path, option: str, name: str) -> None:
    arrays, says = DATA[name]
    code = "bad-calibration"
    if option == "--eval":
        arrays, code = arrays | {"labels": np.arange(6)}, "bad-eval"
    result = refused(code, "compress", tiny, *PRUNE, "-o", "out.onnx", option, save(tmp_path, **arrays))
    assert says in result.err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (None, "has no 'labels'"),
        (np.arange(5), "has 5 labels for 6 samples"),
        (np.linspace(0, 1, 6), "'labels' is float64"),
        (np.arange(6) - 1, "goes from -1 to 4"),
        (np.arange(6) + 5, "goes from 5 to 10, 'logits' has 10 classes"),
    ],
)
def test_bad_labels(
    refused: Cli, tiny: Path, tmp_path: Path, folder: Path, labels: np.ndarray | None, says: str
) -> None:
    arrays = {"image": images(6)} | ({} if labels is None else {"labels": labels})
    result = refused("bad-eval", "compress", tiny, *PRUNE, "--eval", save(tmp_path, **arrays))
    assert says in result.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("g (float[1,4,2,2] x) => (float[1,4,2,2] y) { y = Relu(x) }", "has no outputs of shape [batch, classes]"),
        ("g (float[1,4] x) => (float[1,4] y, float[1,4] z) { y = Relu(x) z = Neg(x) }", "has 2 outputs of shape"),
    ],
)
def test_top_1_needs_one_output_of_classes(refused: Cli, tmp_path: Path, text: str, says: str) -> None:
    path = model(tmp_path, text)
    shape = (3, *(dim.dim_value for dim in onnx.load(path).graph.input[0].type.tensor_type.shape.dim[1:]))
    data = save(tmp_path, x=np.ones(shape, np.float32), labels=np.zeros(3, np.int64))
    result = refused("bad-eval", "compress", path, *PRUNE, "--eval", data)
    assert says in result.err
    assert "module:function" in result.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), "usage"),
        (("--pass", "dce"), "usage"),
        (("--pass", "no-such-pass"), "unknown-pass"),
        ((*PRUNE, "--max-drop", "1"), "usage"),
        ((*PRUNE, "--overwrite"), "usage"),
        ((*PRUNE, "--eval", "missing.npz"), "bad-eval"),
        ((*PRUNE, "--eval", "missing_module:function"), "bad-eval"),
        ((*PRUNE, "--eval", "missing.npz", "--max-drop", "-1"), "bad-option"),
        ((*PRUNE, "--eval", "missing.npz", "--max-drop", "nan"), "bad-option"),
        ((*PRUNE, "--calibration", "missing.npz"), "bad-calibration"),
        ((*PRUNE, "--seed", "-1"), "usage"),
        ((*PRUNE, "-o", "nowhere/out.onnx"), "cannot-write"),
        (("--pass", "prune-channels", "--target", "nokia3310"), "unknown-target"),
    ],
)
def test_bad_usage(refused: Cli, tiny: Path, folder: Path, arguments: tuple[str, ...], code: str) -> None:
    refused(code, "compress", tiny, *arguments)
    assert list(folder.iterdir()) == []


def test_files_are_safe(refused: Cli, cli: Cli, tiny: Path, folder: Path) -> None:
    Path("mine.onnx").write_text("mine")
    refused("output-exists", "compress", tiny, *PRUNE, "-o", "mine.onnx")
    assert Path("mine.onnx").read_text() == "mine"
    before = tiny.read_bytes()
    Path("link.onnx").symlink_to(tiny)
    for output in (tiny, "link.onnx"):
        refused("output-is-input", "compress", tiny, *PRUNE, "-o", output, "--overwrite")
    assert tiny.read_bytes() == before
    assert cli("compress", tiny, *PRUNE, "-o", "mine.onnx", "--overwrite").code == 0
    onnx.checker.check_model("mine.onnx", full_check=True)
    assert tiny.read_bytes() == before


def test_compile_judges_too(cli: Cli, refused: Cli, labelled: tuple[Path, Path], folder: Path) -> None:
    arguments = ("compile", labelled[0], "--pass", PASS, "--eval", labelled[1], "-o", "out.hetpart")
    refused("accuracy-drop", *arguments, "--max-drop", "1")
    assert list(folder.iterdir()) == []
    result = cli(*arguments)
    assert (result.code, result.err) == (0, "")
    assert "percentage points (" in result.out
    manifest = json.loads(Path("out.hetpart/manifest.json").read_text())
    stated = manifest["decision"]["compression"]
    assert stated["accuracy"].startswith("top-1 accuracy ")
    assert (stated["evaluation"]["n"], len(stated["evaluation"]["scores"])) == (120, 2)


def test_compile_refuses_data_that_no_pass_uses(refused: Cli, labelled: tuple[Path, Path], folder: Path) -> None:
    refused("usage", "compile", labelled[0], "--eval", labelled[1], "-o", "out.hetpart")
    assert list(folder.iterdir()) == []
