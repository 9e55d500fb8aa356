"""``hetpart run``: inputs from files or random, outputs and traces into files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

from tests.cli.support import Cli


def test_outputs_are_those_of_onnxruntime_for_the_given_input(
    cli: Cli, tiny: Path, host_bundle: Path, folder: Path
) -> None:
    image = np.random.default_rng(5).standard_normal((1, 4, 16, 16)).astype(np.float32)
    np.save("image.npy", image)
    result = cli("run", host_bundle, "--input", "image=image.npy", "-o", "out.npz")
    assert (result.code, result.err) == (0, "")
    assert "plan: main\nlogits: float32[1, 10]  min " in result.out
    assert result.out.endswith("wrote out.npz\n")
    (expected,) = onnxruntime.InferenceSession(tiny).run(None, {"image": image})
    found = np.load("out.npz")["logits"]
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)
    assert sorted(path.name for path in folder.iterdir()) == ["image.npy", "out.npz"]


def test_random_inputs_depend_on_the_seed_alone(cli: Cli, host_bundle: Path) -> None:
    first, again, other = (cli("run", host_bundle, "--seed", seed, "--json").json() for seed in (1, 1, 2))
    assert first == again
    assert first["outputs"] != other["outputs"]
    assert set(first["outputs"]["logits"]) == {"shape", "dtype", "min", "max", "mean"}
    assert (first["plan"], first["fallback_reason"], first["saved"]) == ("main", None, None)


def test_trace_is_a_chrome_trace(cli: Cli, gpu_bundle: Path, folder: Path) -> None:
    assert cli("run", gpu_bundle, "--trace", "trace.json").code == 0
    events = json.loads(Path("trace.json").read_text())["traceEvents"]
    rows = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert set(rows.values()) == {"cpu", "gpu"}
    steps = [event for event in events if event["ph"] == "X"]
    assert "conv1" in {step["name"] for step in steps}
    for step in steps:
        assert step["tid"] in rows
        assert step["ts"] >= 0
        assert step["dur"] >= 0
        assert step["pid"] == 1


def test_zip_runs_like_the_folder(cli: Cli, tiny: Path, host_bundle: Path, folder: Path) -> None:
    assert cli("compile", tiny, "--zip", "--verify", "none").code == 0
    assert cli("run", "tiny.hetpart.zip", "--json").json() == cli("run", host_bundle, "--json").json()


def test_outputs_that_are_no_numbers(cli: Cli, folder: Path) -> None:
    text = '<ir_version: 8, opset_import: ["" : 13]> g (float[1,8] x) => (float[1,8] y) { y = Log(x) }'
    onnx.save(onnx.parser.parse_model(text), "log.onnx")
    assert cli("compile", "log.onnx", "--json").json()["verify"]["outputs"]["y"]["max_abs"] < 1e-5
    result = cli("run", "log.hetpart", "--json")
    assert (result.err, result.json()["outputs"]["y"]["mean"]) == ("", None)
    np.save("x.npy", np.array([[0, 1, 2, 3, 4, 5, 6, np.inf]], np.float32))
    result = cli("run", "log.hetpart", "--input", "x=x.npy")
    assert "min -inf  max inf  mean nan" in result.out
    assert result.err == ""


def test_names_that_mean_something_elsewhere(cli: Cli, folder: Path) -> None:
    """To a command line, to numpy's savez, to a file system."""
    names = ("file", "allow_pickle", "../up/y.npy", "ü [red]")
    nodes = [onnx.helper.make_node("Neg", ["a=b"], [name]) for name in names]
    outputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in names]
    inputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in ("a=b",)]
    graph = onnx.helper.make_graph(nodes, "g", inputs, outputs)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), "m.onnx")
    assert cli("compile", "m.onnx").code == 0
    np.save("x=.npy", np.array([1, 2], np.float32))
    result = cli("run", "m.hetpart", "--input", "a=b=x=.npy", "-o", "out.npz")
    assert (result.code, result.err) == (0, "")
    assert "ü [red]: float32[2]" in result.out
    saved = np.load("out.npz")
    assert {name: saved[name].tolist() for name in names} == {name: [-1, -2] for name in names}


def _input_files() -> None:
    np.save("good.npy", np.ones((1, 4, 16, 16), np.float32))
    np.save("rank.npy", np.ones((4, 16, 16), np.float32))
    np.save("type.npy", np.ones((1, 4, 16, 16)))
    np.save("pickle.npy", np.array([{}], dtype=object))
    np.savez("several.npz", a=np.ones(1), b=np.ones(1))
    Path("empty.npy").touch()
    Path("text.npy").write_text("1 2 3")
    Path("zip.npy").write_bytes(b"PK\x03\x04" + bytes(50))
    Path("huge.npy").write_bytes(Path("good.npy").read_bytes().replace(b"(1, 4, 16, 16)", b"(99999999,999)"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image=rank.npy", "input image is float32[4, 16, 16]"),
        ("image=type.npy", "input image is float64[1, 4, 16, 16]"),
        ("image=pickle.npy", "pickle.npy is no array"),
        ("image=several.npz", "several.npz holds several arrays"),
        ("image=empty.npy", "empty.npy is no array"),
        ("image=text.npy", "text.npy is no array"),
        ("image=zip.npy", "zip.npy is no array"),
        ("image=huge.npy", "huge.npy is no array"),
        ("image=none.npy", "cannot read none.npy: No such file or directory"),
        ("image=.", "cannot read .: Is a directory"),
        ("picture=good.npy", "inputs: image"),
        ("good.npy", "write NAME=FILE.npy"),
    ],
)
def test_bad_inputs_are_refused(refused: Cli, host_bundle: Path, folder: Path, text: str, says: str) -> None:
    _input_files()
    result = refused("bad-input", "run", host_bundle, "--input", text, "-o", "out.npz")
    assert says in result.err
    assert not Path("out.npz").exists()


@pytest.mark.parametrize("option", ["--output", "--trace"])
@pytest.mark.parametrize("where", ["none/out", "/dev/full", "/proc/out"])
def test_files_that_cannot_be_written_are_named(refused: Cli, host_bundle: Path, option: str, where: str) -> None:
    code = "disk-full" if where == "/dev/full" else "cannot-write"
    assert where in refused(code, "run", host_bundle, option, where).err


def test_an_older_output_survives_a_failed_run(refused: Cli, host_bundle: Path, folder: Path) -> None:
    Path("out.npz").write_text("older")
    refused("bad-input", "run", host_bundle, "--input", "x=y", "-o", "out.npz")
    assert Path("out.npz").read_text() == "older"
