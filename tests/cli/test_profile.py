"""``hetpart profile`` and ``compile --profile``: what is written, what is used, what is refused. No speeds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hetpart.runtime.session import Session
from tests.cli.support import Cli, Result, write_tiny

RUNS = ("--runs", "2", "--time-limit", "0")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("profiled")


@pytest.fixture
def profiled(cli: Cli, tiny: Path, models: Path) -> Path:
    """A profile of `tiny`, measured once."""
    path = models / "tiny.json"
    if not path.exists():
        assert cli("profile", tiny, "-o", path, *RUNS).code == 0
    return path


def changed(path: Path, copy: Path, **values: Any) -> Path:
    """A copy of a profile with other values."""
    copy.write_text(json.dumps(json.loads(path.read_text()) | values))
    return copy


def test_every_unit_is_measured_on_both_processors(profiled: Path, cli: Cli, tiny: Path, folder: Path) -> None:
    values = json.loads(profiled.read_text())
    assert (values["format"], values["schema"], values["target"]) == ("hetpart-profile", 1, "host")
    assert {entry["processor"] for entry in values["entries"]} == {"cpu", "gpu"}
    assert all(entry["latency_us"] > 0 and entry["spread"]["n"] >= 2 for entry in values["entries"])
    assert values["machine"]["processor"]
    assert len(values["machine"]["load_before"]) == 3
    report = cli("compile", tiny, "-o", "bundle", "--profile", profiled, "--json").json()
    assert report["measured"]["here"] == report["measured"]["everywhere"] == report["measured"]["units"] > 0
    assert {row["origin"] for row in report["units"] if row["processor"]} == {"measured"}
    assert not [path for path in profiled.parent.iterdir() if path.name.startswith(".")]


def test_a_part_of_the_units_is_said_to_be_estimated(profiled: Path, cli: Cli, tiny: Path, folder: Path) -> None:
    entries = json.loads(profiled.read_text())["entries"]
    dropped = entries[0]["kernels"]
    part = changed(profiled, folder / "part.json", entries=[e for e in entries if e["kernels"] != dropped])
    arguments = ("compile", tiny, "-o", "bundle", "--overwrite", "--profile", part)
    report = cli(*arguments, "--json").json()
    assert 0 < report["measured"]["here"] < report["measured"]["units"]
    assert set(report["measured"]["missing"]) == {r["name"] for r in report["units"] if r["origin"] == "estimated"}
    assert set(report["measured"]["missing"]) == set(entries[0]["units"])
    text = cli(*arguments).out
    assert "units are measured, the others estimated" in text
    assert "not in the profile: " + ", ".join(report["measured"]["missing"]) in text
    assert "us (~ estimated)" in text
    shown = cli("inspect", "bundle").out
    assert f"times of {report['measured']['here']} of {report['measured']['units']} units are measured" in shown
    assert "units from a profile)" in cli("bench", "bundle", "--runs", "1").out


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"target": "sd855"}, "the profile is for target sd855, not for host"),
        ({"target_digest": "0"}, "other processors or code generation options"),
        ({"toolchain": "0"}, "measured with another toolchain"),
        ({"machine": {"processor": "an abacus"}}, "measured on another machine (an abacus"),
        ({"entries": []}, "has a time for none of the model's"),
    ],
)
def test_what_does_not_match_is_named(
    values: dict[str, Any], message: str, profiled: Path, refused: Callable[..., Result], tiny: Path, folder: Path
) -> None:
    other = changed(profiled, folder / "other.json", **values)
    result = refused("profile-mismatch", "compile", tiny, "-o", "bundle", "--profile", other)
    assert message in result.err
    assert not Path("bundle").exists()


def test_files_that_are_no_profiles_are_refused(
    profiled: Path, refused: Callable[..., Result], tiny: Path, folder: Path
) -> None:
    def compiled(code: str, path: Path) -> None:
        refused(code, "compile", tiny, "-o", "bundle", "--profile", path)

    compiled("no-profile", folder / "none.json")
    (folder / "text.json").write_text("text")
    compiled("not-a-profile", folder / "text.json")
    compiled("not-a-profile", changed(profiled, folder / "a.json", format="other"))
    compiled("version-mismatch", changed(profiled, folder / "b.json", schema=99))
    compiled("corrupt-profile", changed(profiled, folder / "c.json", entries=[{}]))
    entries = json.loads(profiled.read_text())["entries"]
    compiled("corrupt-profile", changed(profiled, folder / "d.json", entries=[entries[0] | {"latency_us": -1}]))
    compiled("corrupt-profile", changed(profiled, folder / "e.json", entries=[entries[0], entries[0]]))


def test_a_phone_cannot_be_profiled_here(refused: Callable[..., Result], tiny: Path, folder: Path) -> None:
    result = refused("not-native", "profile", tiny, "--target", "sd855")
    assert "--from-trace" in result.err
    assert not list(folder.iterdir())


def test_a_trace_becomes_a_profile(
    host_bundle: Path, cli: Cli, refused: Callable[..., Result], tiny: Path, folder: Path
) -> None:
    from hetpart.cli.inputs import load_or_random

    with Session(host_bundle) as session:
        session.run(load_or_random(host_bundle, [], 0))
        (folder / "trace.json").write_text(json.dumps(session.trace()))
    values = cli("profile", tiny, "--from-trace", "trace.json", "-o", "p.json", "--json").json()
    assert values["origin"] == "out of 1 trace recorded on a device"
    assert values["start_us"] is None
    report = cli("compile", tiny, "-o", "bundle", "--profile", "p.json", "--json").json()
    assert report["measured"]["here"] > 0
    other = write_tiny(folder / "other.onnx")
    renamed = (folder / "trace.json").read_text().replace('"conv1"', '"conv9"')
    (folder / "renamed.json").write_text(renamed)
    refused("trace-mismatch", "profile", other, "--from-trace", "renamed.json")
    refused("trace-mismatch", "profile", other, "--target", "sd855", "--from-trace", "trace.json")
    (folder / "empty.json").write_text("{}")
    refused("bad-trace", "profile", other, "--from-trace", "empty.json")
    refused("no-trace", "profile", other, "--from-trace", "none.json")
