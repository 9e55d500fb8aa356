"""``hetpart targets``: the list, one explained, files of the user's."""

from __future__ import annotations

from pathlib import Path

import pytest

import hetpart.targets
from hetpart.targets import target_names
from tests.cli.support import Cli

SD855 = Path(hetpart.targets.__file__).parent / "sd855.toml"


def test_list(cli: Cli) -> None:
    result = cli("targets")
    assert (result.code, result.err) == (0, "")
    assert [line.split()[0] for line in result.out.splitlines()] == list(target_names())
    assert [target["name"] for target in cli("targets", "--json").json()["targets"]] == list(target_names())


@pytest.mark.parametrize("name", target_names())
def test_one_is_explained(cli: Cli, name: str) -> None:
    out = cli("targets", name).out
    assert out.startswith(f"{name}: ")
    assert "estimated" in out
    assert "link from" in out
    report = cli("targets", name, "--json").json()
    assert (report["schema"], report["name"]) == (1, name)
    assert report["processors"][0]["kind"] == "cpu"
    assert report["sources"]["block"]


@pytest.mark.parametrize("name", target_names())
def test_code_is_made_for_each(cli: Cli, folder: Path, tiny: Path, name: str) -> None:
    report = cli("compile", tiny, "-t", name, "-o", "tiny.hetpart", "--verify", "none", "--json").json()
    assert report["target"] == name
    assert {file.parent.name for file in Path("tiny.hetpart").glob("cpu/*/libmodel.so")}


def test_a_file_of_the_user_s(cli: Cli, folder: Path) -> None:
    Path("mine.toml").write_text(SD855.read_text())
    assert cli("targets", "mine.toml").out.startswith("mine: ")


def test_bad_ones_are_refused(refused: Cli, folder: Path) -> None:
    assert "did you mean kirin990?" in refused("unknown-target", "targets", "kirin99").err
    refused("target-file", "targets", "none.toml")
    Path("broken.toml").write_text("[[[")
    refused("target-file", "targets", "broken.toml")
    Path("poor.toml").write_text("title = 'x'")
    assert "block must be" in refused("bad-target", "targets", "poor.toml").err
    Path("more.toml").write_text("extra = 1\n" + SD855.read_text())
    assert "extra" in refused("bad-target", "targets", "more.toml").err
