"""``hetpart check``: exit codes that a pipeline can use, and a reason for every refusal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import onnx.parser
import pytest

from tests.cli.support import Cli, Result

_HEADER = '<ir_version: 8, opset_import: ["" : 13]>\n'


def model(folder: Path, text: str) -> Path:
    onnx.save(onnx.parser.parse_model(_HEADER + text), folder / "model.onnx")
    return folder / "model.onnx"


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A model with one operator that only the CPU runs."""
    signature = "g (float[2,8] x) => (float[2,8] y) <int64 axis = {1}>"
    return model(tmp_path, signature + "{ [act] a = Relu(x) [sum] y = CumSum(a, axis) }")


def test_exit_code_0_if_an_accelerator_runs_everything(cli: Cli, tiny: Path) -> None:
    result = cli("check", tiny)
    assert (result.code, result.err) == (0, "")
    assert "7 nodes on target host" in result.out


def test_exit_code_1_if_something_falls_back(cli: Cli, mixed: Path) -> None:
    result = cli("check", mixed)
    assert result.code == 1
    assert "gpu: no-opencl-kernel (1 node: sum)" in result.out
    assert "hint: " in result.out


def test_exit_code_2_if_something_runs_nowhere(cli: Cli, tmp_path: Path) -> None:
    result = cli("check", model(tmp_path, "g (bfloat16[1,4] x) => (bfloat16[1,4] y) { [act] y = Relu(x) }"))
    assert result.code == 2
    assert "bfloat16" in result.out


def test_json_has_a_verdict_per_node_and_processor(cli: Cli, mixed: Path) -> None:
    result = cli("check", mixed, "--target", "sd855", "--json")
    report = result.json()
    assert (result.code, result.err, report["schema"]) == (1, "", 1)
    assert [(node["name"], node["op"]) for node in report["nodes"]] == [("act", "Relu"), ("sum", "CumSum")]
    refusal = report["nodes"][1]["verdicts"]["gpu"]
    assert (refusal["level"], refusal["reason"]) == ("unsupported", "no-opencl-kernel")
    assert refusal["hint"]
    assert report["unsupported_share"] == {"cpu": 0.0, "gpu": 0.5, "dsp": 1.0}


def test_shapes_can_be_pinned(cli: Cli, tmp_path: Path) -> None:
    path = model(tmp_path, "g (float[N,?] x) => (float[N,?] y) { [act] y = Relu(x) }")
    assert cli("check", path, "--dim", "N=2").code == 2
    assert cli("check", path, "--shape", "x:2,8").code == 0


def test_profiles_answer_for_other_engines(cli: Cli, tiny: Path) -> None:
    result = cli("check", tiny, "--target", "sd855", "--profile", "mace-gpu-buffer,tflite-gpu", "--profile", "mace-cpu")
    assert (result.code, result.err) == (1, "")
    assert "7 nodes on target sd855, as other engines would run them" in result.out
    assert "mace-gpu-buffer: Add no-kernel (1 node: add)" in result.out
    report = cli("check", tiny, "--target", "sd855", "--profile", "tflite-gpu", "--json")
    assert (report.code, list(report.json()["profiles"])) == (0, ["tflite-gpu"])


def test_an_unknown_profile_lists_the_known_ones(refused: Cli, tiny: Path) -> None:
    error = refused("unknown-profile", "check", tiny, "--profile", "tflite").err
    assert "did you mean tflite-gpu? known profiles: mace-cpu, mace-gpu, " in error


@pytest.fixture
def fixable(tmp_path: Path) -> Path:
    body = "[act] a = Relu(x) [shuffle] b = DepthToSpace<blocksize=2>(a) [end] y = Sigmoid(b)"
    return model(tmp_path, f"g (float[1,8,6,6] x) => (float[1,2,12,12] y) {{ {body} }}")


def test_fix_proposes(cli: Cli, fixable: Path, golden: Callable[[str], None]) -> None:
    result = cli("check", fixable, "--target", "sd855", "--fix")
    assert (result.code, result.err) == (1, "")
    golden(result.out)
    report = cli("check", fixable, "--target", "sd855", "--fix", "--json").json()
    assert report["schema"] == 1
    assert [(each["fix"], each["nodes"]) for each in report["proposals"]] == [("depth-to-space", ["shuffle"])]


def test_fix_writes(cli: Cli, fixable: Path, tmp_path: Path) -> None:
    output = tmp_path / "fixed.onnx"
    result = cli("check", fixable, "--target", "sd855", "--fix", "--apply", "-o", output)
    assert (result.code, result.err) == (0, "")
    assert f"wrote {output}" in result.out.replace("\n", "")
    assert cli("check", output, "--target", "sd855").code == 0
    again = cli("check", output, "--target", "sd855", "--fix")
    assert (again.code, "nothing to fix" in again.out) == (0, True)


def test_fix_with_nothing_to_write(cli: Cli, mixed: Path, tmp_path: Path) -> None:
    result = cli("check", mixed, "--fix", "--apply", "-o", tmp_path / "fixed.onnx")
    assert result.code == 1
    assert "no exact rewrite removes" in result.out
    assert "still refused somewhere: CumSum (1)" in result.out
    assert "nothing was written" in result.out
    assert not (tmp_path / "fixed.onnx").exists()


def test_options_of_fix_go_together(refused: Callable[..., Result], mixed: Path) -> None:
    refused("usage", "check", mixed, "--fix", "--apply")
    refused("usage", "check", mixed, "--apply", "-o", "x.onnx")
    refused("usage", "check", mixed, "--fix", "-o", "x.onnx")
    refused("usage", "check", mixed, "--fix", "--profile", "mace-gpu")
    refused("usage", "check", mixed, "--fix", "--explain", "sum")


def test_explain_says_all_of_a_node(cli: Cli, fixable: Path, golden: Callable[[str], None]) -> None:
    result = cli("check", fixable, "--target", "sd855", "--explain", "shuffle")
    assert (result.code, result.err) == (1, "")
    golden(result.out)
    report = cli("check", fixable, "--target", "sd855", "--explain", "shuffle", "--json").json()
    assert [view["processor"] for view in report["units"][0]["processors"]] == ["cpu", "gpu", "dsp"]


def test_explain_follows_a_node_into_its_unit_and_out_of_the_model(cli: Cli, tiny: Path) -> None:
    fused = cli("check", tiny, "--explain", "relu1")
    assert fused.code == 0
    assert "relu1 is in unit conv1 (Conv+Relu)" in fused.out


def test_explain_says_which_pass_removed_a_node(cli: Cli, tmp_path: Path) -> None:
    body = "[act] a = Relu(x) [same] y = Relu(x) [sum] z = Add(a, y)"
    result = cli("check", model(tmp_path, f"g (float[1,4] x) => (float[1,4] z) {{ {body} }}"), "--explain", "same")
    assert (result.code, result.err) == (0, "")
    assert "same runs nowhere: after " in result.out


def test_explain_of_an_unknown_node_suggests(refused: Callable[..., Result], tiny: Path) -> None:
    error = refused("unknown-node", "check", tiny, "--explain", "relu").err
    assert "did you mean relu1?" in error
