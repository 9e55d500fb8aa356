"""``hetpart verify``: equal, not equal, or the wrong model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.support import Cli, write_tiny


def test_equal(cli: Cli, host_bundle: Path, tiny: Path) -> None:
    result = cli("verify", host_bundle, tiny)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("logits: relative L2 error ")
    assert result.out.endswith("equal (on this machine, plan main)\n")


def test_not_equal_is_exit_code_1(cli: Cli, host_bundle: Path, tmp_path: Path) -> None:
    other = write_tiny(tmp_path / "other.onnx", seed=1)
    result = cli("verify", host_bundle, other, "--json")
    report = result.json()
    assert (result.code, result.err, report["schema"], report["equal"]) == (1, "", 1, False)
    assert report["outputs"]["logits"]["rel_l2"] > 0.1
    assert "more than the 1e-04 allowed" in cli("verify", host_bundle, other).out


def test_inputs_from_files(cli: Cli, host_bundle: Path, tiny: Path, folder: Path) -> None:
    np.save("image.npy", np.ones((1, 4, 16, 16), np.float32))
    given, other = (
        cli("verify", host_bundle, tiny, *args, "--json").json() for args in (("-i", "image=image.npy"), ())
    )
    assert given["equal"]
    assert given["outputs"] != other["outputs"]


def test_another_model_is_refused(refused: Cli, host_bundle: Path, tiny: Path, tmp_path: Path) -> None:
    model = onnx.load(tiny)
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("e", onnx.TensorProto.FLOAT, (1, 16, 1, 1)))
    onnx.save(model, tmp_path / "other.onnx")
    result = refused("model-mismatch", "verify", host_bundle, tmp_path / "other.onnx")
    assert "computes logits float32[1, 10]; the model computes e float32[1, 16, 1, 1]" in result.err


@pytest.mark.parametrize(("content", "code"), [(None, "file-not-found"), (b"", "empty-file"), (b"text", "not-onnx")])
def test_a_file_that_is_no_model_is_refused(
    refused: Cli, host_bundle: Path, tmp_path: Path, content: bytes | None, code: str
) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    refused(code, "verify", host_bundle, path)


def test_emulation_says_what_it_lacks(refused: Cli, cli: Cli, tiny: Path, folder: Path) -> None:
    assert cli("compile", tiny, "-t", "sd855", "--verify", "none").code == 0
    assert "hint: apt-get install" in refused("no-emulator", "verify", "tiny.hetpart", tiny, "--emulate").err
    refused("cpu-module", "verify", "tiny.hetpart", tiny)
