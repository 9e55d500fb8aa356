"""``hetpart inspect``: what is in a bundle; damaged and foreign ones are refused by every verb that reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.support import Cli


def test_human_output_names_everything(cli: Cli, gpu_bundle: Path) -> None:
    result = cli("inspect", gpu_bundle)
    assert (result.code, result.err) == (0, "")
    for text in (
        "tiny for target host", "bundle schema 3, written by ", "input image: float32[1, 4, 16, 16]",
        "output logits: float32[1, 10]", "cpu (cpu), gpu (opencl)", "strategy gpu, feasible: predicted ",
        "lower bound", "times are estimated", "weights.bin", "gpu/kernels.cl", "sources of the runtime",
    ):  # fmt: skip
        assert text in result.out
    rows = [line.split() for line in result.out.splitlines()]
    assert ["relu1", "conv1", "gpu"] in [row[:3] for row in rows], "node, unit, processor"


def test_json_is_the_manifest(cli: Cli, host_bundle: Path) -> None:
    assert cli("inspect", host_bundle, "--json").json() == json.loads((host_bundle / "manifest.json").read_text())


def _edit_manifest(bundle: Path, **values: object) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _change_part(bundle: Path) -> None:
    data = bytearray((bundle / "weights.bin").read_bytes())
    data[7] ^= 1
    (bundle / "weights.bin").write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "corrupt-part": (_change_part, "weights.bin"),
    "missing-part": (lambda bundle: (bundle / "plan.bin").unlink(), "plan.bin"),
    "not-a-bundle": (lambda bundle: (bundle / "manifest.json").unlink(), "manifest.json"),
    "corrupt-manifest": (lambda bundle: (bundle / "manifest.json").write_text('{"hetpart-bundle'), "manifest.json"),
    "version-mismatch": (lambda bundle: _edit_manifest(bundle, schema=99), "schema 99, this hetpart reads schema 3"),
}


@pytest.mark.parametrize("verb", ["inspect", "run", "bench"])
@pytest.mark.parametrize("code", DAMAGE)
def test_damaged_bundles_are_refused(refused: Cli, damaged: Path, verb: str, code: str) -> None:
    damage, says = DAMAGE[code]
    damage(damaged)
    assert says in refused(code, verb, damaged).err


@pytest.mark.parametrize("verb", ["inspect", "run", "bench"])
def test_what_is_no_bundle_is_refused(refused: Cli, verb: str, tiny: Path, tmp_path: Path) -> None:
    refused("no-such-bundle", verb, tmp_path / "none")
    refused("not-a-bundle", verb, tiny)
    refused("not-a-bundle", verb, tmp_path)


def test_errors_as_json(cli: Cli, tmp_path: Path) -> None:
    result = cli("inspect", tmp_path / "none", "--json")
    assert result.code == 2
    assert result.json()["error"]["code"] == "no-such-bundle"
    assert set(result.json()["error"]) == {"code", "message", "node", "hint"}
