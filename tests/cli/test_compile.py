"""``hetpart compile``: every option, what people see, what scripts get, what is on disk afterwards."""

from __future__ import annotations

import inspect
import zipfile
from pathlib import Path

import pytest

from hetpart.cli.compile import Verify, compile_
from hetpart.partition import DEFAULT_LIMIT
from hetpart.rehearse import MODES
from tests.cli.support import Cli


def test_human_output_says_where_why_and_whether_it_is_right(cli: Cli, tiny: Path, folder: Path) -> None:
    result = cli("compile", tiny)
    assert result.code == 0
    assert result.err == ""
    for text in ("Conv+Relu", "runs on", "lower bound", "times are estimated", "verified: ", "relative L2 error"):
        assert text in result.out
    assert "\x1b" not in result.out, "no colours into files"
    assert result.out.splitlines()[-1].startswith("wrote tiny.hetpart (")
    assert [path.name for path in folder.iterdir()] == ["tiny.hetpart"]


def test_json_is_one_object_with_every_documented_field(cli: Cli, tiny: Path, folder: Path) -> None:
    result = cli("compile", tiny, "-o", "out", "--json")
    report = result.json()
    assert result.err == ""
    assert report["schema"] == 1
    assert (report["strategy"], report["status"], report["output"]) == ("ilp", "optimal", "out")
    assert report["lower_bound_us"] == report["makespan_us"] == min(report["baselines_us"].values())
    assert report["gap"] == 0.0
    assert set(report["baselines_us"]) == {"cpu", "gpu", "heft"}
    assert report["verify"]["outputs"]["logits"]["rel_l2"] < 1e-5
    assert set(report["verify"]["outputs"]["logits"]) == {"rel_l2", "max_abs"}
    assert {"import", "passes", "partition", "kernels", "link", "verify", "write"} <= set(report["seconds"])
    rows = {unit["name"]: unit for unit in report["units"]}
    assert set(rows["conv1"]) == {
        "name",
        "nodes",
        "op",
        "processor",
        "reason",
        "cost_us",
        "origin",
        "memory",
        "energy_mj",
    }
    assert rows["conv1"]["nodes"] == ["conv1", "relu1"]
    assert rows["conv1"]["origin"] == "estimated"
    assert rows["flat"]["processor"] is None
    assert rows["conv1"]["energy_mj"] is report["energy_mj"] is None, "the power of this machine is not known"


@pytest.mark.parametrize("level", [("-O0",), ("-O", "0")])
def test_level_0_leaves_every_operator_its_own_unit(cli: Cli, tiny: Path, folder: Path, level: tuple[str, ...]) -> None:
    report = cli("compile", tiny, *level, "--json", "--verify", "none").json()
    assert {"relu1", "add"} <= {unit["name"] for unit in report["units"]}
    assert report["verify"]["outputs"] == {}


def test_passes_are_run_printed_timed_and_verified(cli: Cli, tiny: Path, folder: Path) -> None:
    options = ("--pass", "dce", "--pass", "cse", "--print-after", "fold-bn", "--time-passes", "--verify-each")
    result = cli("compile", tiny, "-O", "1", *options, "--verify", "none")
    assert result.err.count("// after ") == 1
    assert "// after fold-bn\ninput %image" in result.err
    table = result.out[result.out.index("pass ") :].splitlines()
    assert [line.split()[0] for line in table[-2:]] == ["dce", "cse"]


def test_print_after_all_prints_every_pass(cli: Cli, tiny: Path, folder: Path) -> None:
    result = cli("compile", tiny, "-O0", "--print-after", "all", "--verify", "none", "--json")
    assert result.err.count("// after ") == len(result.json()["passes"])


def test_segments_compares_every_unit(cli: Cli, tiny: Path, folder: Path) -> None:
    report = cli("compile", tiny, "--verify", "segments", "--json").json()
    assert "every unit" in report["verify"]["how"]


def test_zip_is_one_file_with_the_same_parts(cli: Cli, tiny: Path, folder: Path, host_bundle: Path) -> None:
    assert cli("compile", tiny, "--zip", "--no-cache").code == 0
    (file,) = folder.iterdir()
    assert file.name == "tiny.hetpart.zip"
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            assert archive.read(name) == (host_bundle / name).read_bytes(), f"{name} differs between two compilations"


def test_cpu_fallback_adds_a_plan_that_is_verified_too(cli: Cli, gpu_bundle: Path) -> None:
    manifest = cli("inspect", gpu_bundle, "--json").json()
    assert {name: set(plan["processors"]) for name, plan in manifest["plans"].items()} == {
        "main": {"cpu", "gpu"},
        "cpu": {"cpu"},
    }


def test_overwrite_replaces_a_bundle_and_nothing_else(cli: Cli, refused: Cli, tiny: Path, folder: Path) -> None:
    (folder / "tiny.hetpart").mkdir()
    (folder / "tiny.hetpart" / "diary.txt").write_text("mine")
    result = refused("output-exists", "compile", tiny, "--overwrite")
    assert "not a hetpart bundle" in result.err
    assert (folder / "tiny.hetpart" / "diary.txt").read_text() == "mine"
    assert cli("compile", tiny, "-o", "b", "--verify", "none").code == 0
    assert "--overwrite" in refused("output-exists", "compile", tiny, "-o", "b").err
    assert cli("compile", tiny, "-o", "b", "--overwrite", "--zip", "--verify", "none").code == 0
    assert (folder / "b").is_file()


def test_a_phone_is_rehearsed(cli: Cli, tiny: Path, folder: Path) -> None:
    report = cli("compile", tiny, "-t", "sd855", "--strategy", "gpu", "--json").json()
    assert "rehearsed" in report["verify"]["how"]
    rows = [row for row in report["units"] if row["processor"]]
    watts = {"cpu": 5.9, "gpu": 3.7}  # targets/sd855.toml
    for row in rows:
        assert row["energy_mj"] == pytest.approx(row["cost_us"] * watts[row["processor"]] / 1e3, abs=0.001)
    assert report["energy_mj"] == pytest.approx(sum(row["energy_mj"] for row in rows), abs=0.01)
    assert report["verify"]["outputs"]["logits"]["rel_l2"] < 1e-5


def test_a_cache_that_cannot_be_made_is_done_without(
    cli: Cli, tiny: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tiny))  # a file
    assert cli("compile", tiny, "--verify", "none").code == 0


def test_competing_processes_are_planned_for_and_named(cli: Cli, tiny: Path, folder: Path) -> None:
    alone = cli("compile", tiny, "--strategy", "cpu", "--verify", "none", "--json", "--overwrite").json()
    options = ("--strategy", "cpu", "--verify", "none", "--overwrite", "--competing", "1")
    beside = cli("compile", tiny, *options, "--json").json()
    assert (alone["competing"], beside["competing"]) == (0, 1)
    assert beside["makespan_us"] == pytest.approx(2 * alone["makespan_us"], abs=10)  # one core, two threads on it
    assert "beside a busy thread of other processes" in cli("compile", tiny, *options).out


def test_choices_and_defaults_are_the_library_s() -> None:
    assert tuple(Verify) == MODES
    assert inspect.signature(compile_).parameters["time_limit"].default == DEFAULT_LIMIT


def test_precision_is_taken_and_said(cli: Cli, tiny: Path, folder: Path) -> None:
    result = cli("compile", tiny, "-t", "sd855", "--precision", "fp16")
    assert result.code == 0
    assert "target sd855, precision fp16, strategy ilp" in result.out
    assert "precision fp16, strategy ilp" in cli("inspect", "tiny.hetpart").out
