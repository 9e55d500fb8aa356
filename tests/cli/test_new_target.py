"""docs/new-target.md: its file loads, its commands run, its error message is what one gets."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from hetpart.targets import target_sources
from tests.cli.support import Cli

PAGE = (Path(__file__).parents[2] / "docs" / "new-target.md").read_text()
FILE = re.search(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^    hetpart (.*)$", PAGE, re.MULTILINE)


@pytest.fixture
def phone(folder: Path, tiny: Path) -> Path:
    """The page's file beside a model, in the working folder."""
    assert FILE is not None
    Path("my-phone.toml").write_text(FILE[1])
    shutil.copy(tiny, "model.onnx")
    return Path("my-phone.toml")


def test_the_page_has_what_is_tried_here() -> None:
    assert [command.split()[0] for command in COMMANDS] == ["targets", "check", "compile", "profile", "profile"]


# the last one needs what the phone measured: tests/emulation/test_profiler.py runs it, and the script before it
@pytest.mark.parametrize("command", COMMANDS[:-1])
def test_a_command_of_the_page(cli: Cli, phone: Path, command: str) -> None:
    result = cli(*command.split())
    assert (result.code, result.err) == (0, "")
    if "--emit-profiler" in command:
        assert Path("profiler/profile.sh").exists()
    if "-o" in command:
        assert Path(command.split("-o ")[1].split()[0]).exists()


def test_every_cost_says_where_it_comes_from(phone: Path) -> None:
    known = target_sources(str(phone))
    for processor in ("cpu", "gpu"):
        for key in ("peak_gflops", "bandwidth_gb_per_s", "launch_us", "efficiency.conv"):
            assert f"processors.{processor}.cost.{key}" in known


def test_the_error_is_the_one_of_the_page(refused: Cli, phone: Path) -> None:
    phone.write_text(phone.read_text().replace("depthwise", "depthwize", 1))
    error = refused("bad-target", "targets", phone).err
    assert "".join(f"    {line}\n" for line in error.splitlines()) in PAGE
