"""``hetpart tune``: writes the user's table, and says what it found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hetpart.kernels.cpu import tuned
from tests.cli.support import Cli, Result


@pytest.fixture(autouse=True)
def _own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tuned.forget()


def test_the_table_is_filled_and_used(cli: Cli, tiny: Path, folder: Path) -> None:
    found = cli("tune", tiny, "--json").json()
    assert len(found["shapes"]) == 2
    assert all(row["time_us"] > 0 and row["choice"] for row in found["shapes"])
    assert Path(found["table"]).is_file()
    assert cli("tune", tiny).out == "nothing to tune: every convolution's shape is in the table\n"
    assert cli("tune", tiny, "--again").out.count("the estimated choice") == 2
    assert cli("compile", tiny, "-o", "bundle").code == 0


def test_a_phone_cannot_be_tuned_here(refused: Callable[..., Result], tiny: Path) -> None:
    refused("not-native", "tune", tiny, "--target", "sd855")
