"""``hetpart predict``: which of its two models it says it used."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import Cli, write_tiny


def test_published_latencies(cli: Cli, tmp_path: Path) -> None:
    out = cli("predict", write_tiny(tmp_path / "m.onnx"), "--target", "sd855", "--engine", "ncnn").out
    assert "four of five lie in" in out
    assert "from published latencies of other models" in out


def test_cost_table(cli: Cli, tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "m.onnx")
    out = cli("predict", model, "--target", "host").out
    assert "how far off is not known" in out
    assert "from the cost table of host" in out
    found = cli("predict", model, "--target", "host", "--json").json()
    assert (found["method"], found["band_us"], found["target"]) == ("cost-table", None, "host")


def test_neither(cli: Cli, tmp_path: Path) -> None:
    found = cli("predict", write_tiny(tmp_path / "m.onnx"), "--target", "sd85")
    assert found.code == 2
    assert "or host, or a path to a .toml file" in found.err
