"""``hetpart cache``: shows and clears what compiling makes again by itself, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import Cli


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "hetpart"


def test_no_cache_is_an_empty_cache(cli: Cli, root: Path) -> None:
    assert cli("cache").out == f"0.0 MB in {root}\n"
    assert cli("cache", "clear", "--json").json() == {"schema": 1, "path": str(root), "action": "clear", "bytes": 0}


def test_compiling_fills_it_and_clear_empties_it(cli: Cli, root: Path, tiny: Path, folder: Path) -> None:
    keep = root / "sysroot-arm64" / "file"
    keep.parent.mkdir(parents=True)
    keep.write_text("made by the user")
    assert cli("compile", tiny, "-o", "a", "--verify", "none", "--no-cache").code == 0
    assert cli("cache", "--json").json()["bytes"] == 0
    assert cli("compile", tiny, "-o", "b", "--verify", "none").code == 0
    size_bytes = cli("cache", "show", "--json").json()["bytes"]
    assert size_bytes > 10_000
    assert cli("cache", "clear", "--json").json()["bytes"] == size_bytes
    assert cli("cache", "show", "--json").json()["bytes"] == 0
    assert keep.exists()
