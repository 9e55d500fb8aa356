"""Bad input of every kind: an error code, a hint where there is something to do, and nothing left behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from tests.cli.support import Cli


def _text(graph: str, opsets: str = '"" : 13') -> bytes:
    return onnx.parser.parse_model(f"<ir_version: 8, opset_import: [{opsets}]>\n{graph}").SerializeToString()


NOISE = np.random.default_rng(0).bytes(10_000)
MODELS = {
    "empty": (b"", "empty-file", ""),
    "noise": (NOISE, "not-onnx", "hint: export"),
    "image": (b"\x89PNG" + NOISE, "not-onnx", "a PNG image"),
    "checkpoint": (b"PK\x03\x04" + NOISE, "not-onnx", "PyTorch checkpoint"),
    "operator": (
        _text("g (float[1,4] x) => (float[1,4] y) { [strange] y = Frobnicate(x) }"),
        "unknown-operator", "at: strange\n  hint: ",
    ),
    "domain": (
        _text("g (float[1,4] x) => (float[1,4] y) { [strange] y = acme.Thing(x) }", '"" : 13, "acme" : 1'),
        "unknown-domain", "at: strange\n  hint: ",
    ),
    "dynamic": (
        _text("g (float[N,4] x) => (float[N,4] y) { [act] y = Relu(x) }"),
        "dynamic-shape", "hint: pass --dim N=1 or --shape x:1,4",
    ),
    "data-dependent": (
        _text("g (float[1,4] x) => (int64[2,n] y) { [nz] y = NonZero(x) }"),
        "dynamic-shape", "at: nz",
    ),
    "strings": (
        _text("g (string[1,4] x) => (string[1,4] y) { [id] y = Identity(x) }"),
        "unsupported-dtype", "hint: ",
    ),
    "random": (
        _text("g (float[1,4] x) => (float[1,4] y) { [noise] y = RandomNormalLike(x) }"),
        "random-operator", "at: noise",
    ),
    "nowhere": (
        _text("g (bfloat16[1,4] x) => (bfloat16[1,4] y) { [act] y = Relu(x) }"),
        "no-processor", "at: act\n  hint: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_bad_models(refused: Cli, folder: Path, tmp_path: Path, name: str) -> None:
    data, code, says = MODELS[name]
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    assert says in refused(code, "compile", path).err
    assert list(folder.iterdir()) == []
    if name != "nowhere":  # a verdict like others for `check`
        refused(code, "check", path)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
def test_a_model_cut_short(refused: Cli, folder: Path, tiny: Path, tmp_path: Path, share: float) -> None:
    data = tiny.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(data[: int(share * len(data))])
    refused("corrupt-model", "compile", tmp_path / "cut.onnx")
    assert list(folder.iterdir()) == []


def test_no_model(refused: Cli, folder: Path) -> None:
    refused("file-not-found", "compile", "none.onnx")
    assert "hint: " in refused("not-a-file", "compile", ".").err


OPTIONS = [
    ("unknown-target", "kirin99: did you mean kirin990", ("--target", "kirin99")),
    ("target-file", "none.toml", ("--target", "none.toml")),
    ("unknown-strategy", "cpu, gpu, heft, ilp", ("--strategy", "magic")),
    ("unknown-level", "use O0 or O1", ("-O2",)),
    ("unknown-level", "use O0 or O1", ("-O", "fast")),
    ("unknown-pass", "did you mean 'fold-bn'?", ("--pass", "fold-bm")),
    ("unknown-pass", "known passes", ("--print-after", "everything")),
    ("unknown-option", "no option 'ratio'", ("--pass", "dce{ratio=0.5}")),
    ("pipeline-syntax", "name{option=value}", ("--pass", "dce{")),
    ("unknown-input", "inputs: image", ("--shape", "picture:1,4")),
    ("rank-mismatch", "declared: 1,4,16,16", ("--shape", "image:1,4")),
    ("shape-contradiction", "at: image", ("--shape", "image:2,4,16,16")),
    ("bad-option", "write --shape name:1,3,224,224", ("--shape", "image")),
    ("bad-option", "write --shape name:1,3,224,224", ("--shape", "image:1,4,0,16")),
    ("bad-option", "write --dim batch=1", ("--dim", "batch=many")),
    ("unknown-dim", "named dimensions: none", ("--dim", "batch=1")),
    ("usage", "'outputs', 'segments', 'emulate', 'none'", ("--verify", "maybe")),
    ("usage", "--time-limit", ("--time-limit", "-1")),
    ("usage", "--time-limit", ("--time-limit", "nan")),
    ("usage", "hint: see hetpart compile --help", ("--fast",)),
    ("no-emulator", "apt-get install", ("--target", "sd855", "--verify", "emulate")),
]


@pytest.mark.parametrize(("code", "says", "options"), OPTIONS, ids=lambda value: str(value)[:40])
def test_bad_options(refused: Cli, folder: Path, tiny: Path, code: str, says: str, options: tuple[str, ...]) -> None:
    error = refused(code, "compile", tiny, *options).err
    assert all(part.strip() in error for part in says.split(":", 1)), error
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("where", ["none/out", "/proc/out", "file/out", "/dev/null"])
def test_outputs_that_cannot_be(refused: Cli, folder: Path, tiny: Path, where: str) -> None:
    Path("file").touch()
    refused("output-exists" if where == "/dev/null" else "cannot-write", "compile", tiny, "-o", where)
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_full_disk(refused: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        assert "hint: " in refused("disk-full", "compile", tiny, "-o", disk / "out").err
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)
