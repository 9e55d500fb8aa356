"""``hetpart profile`` and ``compile --profile``: what is written, what is used, what is refused. No speeds."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx.numpy_helper
import onnx.parser
import pytest

from hetpart.bundle.toolchain import compiler
from hetpart.runtime.library import program
from hetpart.runtime.opencl_loader import use_packaged_opencl
from tests.cli.support import Cli, Result

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
    factor = {"processor": "cpu", "factor": 0, "p10": 0, "p90": 0, "n": 1}
    compiled("corrupt-profile", changed(profiled, folder / "f.json", contention=[factor]))
    link = json.loads(profiled.read_text())["links"][0]
    compiled("corrupt-profile", changed(profiled, folder / "g.json", links=[link | {"loading": 2}]))


def test_a_model_without_work_cannot_be_profiled(refused: Callable[..., Result], folder: Path) -> None:
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[2,3] x) => (float[3,2] y) { y = Reshape(x, s) }'
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([3, 2]), "s"))
    onnx.save(model, "view.onnx")
    refused("nothing-to-measure", "profile", "view.onnx", "-o", "p.json")


def test_a_phone_cannot_be_profiled_here(refused: Callable[..., Result], tiny: Path, folder: Path) -> None:
    result = refused("not-native", "profile", tiny, "--target", "sd855")
    assert "--emit-profiler" in result.err
    assert not list(folder.iterdir())


@pytest.fixture
def traces(cli: Cli, tiny: Path, models: Path) -> Path:
    """What the emitted profiler of `tiny` wrote, once."""
    path = models / "traces.json"
    if not path.exists():
        emitted = models / "profiler"
        result = cli("profile", tiny, "--emit-profiler", emitted)
        assert result.out.startswith(f"wrote {emitted}; next: sh {emitted}/profile.sh")
        use_packaged_opencl()
        command = [program("profile", compiler()), emitted, path, "--runs", "2", "--device", 'a "bench"']
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-2:] == ["round 2 of 2", f"wrote {path}"]
        assert {file.name for file in models.iterdir()} >= {"profiler", "traces.json"}
        assert not list(models.glob("*.one"))
    return path


def test_what_the_emitted_profiler_measures_is_a_profile(
    traces: Path, profiled: Path, cli: Cli, tiny: Path, folder: Path
) -> None:
    values = cli("profile", tiny, "--from-trace", traces, "-o", "p.json", "--json").json()
    assert values["origin"] == 'measured by hetpart-profile on a "bench"'
    assert values["machine"]["processor"] == 'a "bench"'
    assert values["machine"]["cores"] >= 1
    assert values["start_us"] > 0
    assert values["end_us"] > 0
    here = json.loads(profiled.read_text())
    assert values.keys() - {"output", "shares", "checks"} == here.keys()

    def keys(entries: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
        return {(entry["processor"], entry["memory"], entry["kernels"]) for entry in entries}

    assert keys(values["entries"]) == keys(here["entries"])
    ran = json.loads(traces.read_text())["runs"]
    assert [{one["plan"] for one in run["together"]} for run in ran if "together" in run] == 2 * [
        {"plan.bin", "plan-gpu.bin"}
    ]
    assert {one["processor"] for one in values["contention"]} <= {"cpu", "gpu"}  # runs this short may not meet
    assert all(0 < one["p10"] <= one["p90"] and one["n"] > 0 for one in values["contention"])
    assert {(link["source"], link["target"]) for link in values["links"]} == {("cpu", "gpu"), ("gpu", "cpu")}
    assert set(values["launch_us"]) == {"cpu", "gpu"}
    machine = json.loads(profiled.read_text())["machine"]["processor"]
    mine = changed(folder / "p.json", folder / "mine.json", machine=values["machine"] | {"processor": machine})
    assert [check["plan"] for check in values["checks"]] == ["main", "gpu", "mixed", "mixed3"]
    assert all(check["predicted_us"] > 0 and check["measured_us"] > 0 for check in values["checks"])
    classes = {(share["processor"], share["kernel_class"]) for share in values["shares"]}
    assert classes >= {(processor, "conv3x3") for processor in ("cpu", "gpu")}
    report = cli("compile", tiny, "-o", "bundle", "--profile", mine, "--json").json()
    assert report["measured"]["everywhere"] == report["measured"]["units"] > 0


def test_traces_that_do_not_fit_are_named(
    traces: Path, refused: Callable[..., Result], tiny: Path, folder: Path
) -> None:
    def from_trace(code: str, path: Path, *options: str) -> str:
        return refused(code, "profile", tiny, "--from-trace", path, "-o", "p.json", *options).err

    def other(**values: Any) -> Path:
        return changed(traces, folder / "other.json", **values)

    bundle = json.loads(traces.read_text())["bundle"]
    assert "is of target host, not of sd855" in from_trace("trace-mismatch", traces, "--target", "sd855")
    assert "of another model" in from_trace("trace-mismatch", traces, "-O", "0")
    assert "another toolchain" in from_trace("trace-mismatch", other(bundle=bundle | {"toolchain": "0"}))
    assert "schema 99" in from_trace("version-mismatch", other(schema=99))
    from_trace("no-trace", folder / "none.json")
    from_trace("bad-trace", other(format="other"))
    from_trace("bad-trace", other(runs=[]))
    from_trace("bad-trace", other(runs=[{"plan": "plan.bin", "trace": {}}, {"plan": "plan.bin"}]))
    ran = json.loads(traces.read_text())["runs"]
    ran.remove(next(run for run in ran if "trace" in run and run["plan"] == "plan.bin"))
    assert "did not run alone in every round" in from_trace("bad-trace", other(runs=ran))
    (folder / "part.json").write_text(traces.read_text()[:-20])
    assert "was hetpart-profile stopped?" in from_trace("bad-trace", folder / "part.json")
    assert not (folder / "p.json").exists()


def test_private_memory_is_measured(cli: Cli, tiny: Path, folder: Path) -> None:
    text = (Path(__file__).parents[2] / "targets" / "host.toml").read_text()
    for ours, theirs in {
        'block = "native"': "block = 4",
        'lanes = "native"': "lanes = 4",
        "tile_items = true": "tile_items = false",
        'local_bytes = "native"': "",
        "work_group = [1, 1, 1]": 'work_group = [1, 1, 1]\nmemory = "image"\nmax_image = 16384',
        "launch_us = 8.0": "convert_gb_per_s = 5.0\nlaunch_us = 8.0",
    }.items():
        assert ours in text
        text = text.replace(ours, theirs)
    (folder / "images.toml").write_text(text)
    target = ("--target", "./images.toml")
    values = cli("profile", tiny, *target, "-o", "p.json", *RUNS, "--json").json()
    assert "private" in {entry["memory"] for entry in values["entries"] if entry["processor"] == "gpu"}
    (copies,) = values["copies"]
    assert copies["processor"] == "gpu"
    assert copies["spread"]["n"] > 0
    report = cli("compile", tiny, *target, "-o", "bundle", "--profile", "p.json", "--json").json()
    assert report["measured"]["everywhere"] == report["measured"]["units"] > 0


def test_an_emitted_profiler_overwrites_nothing(refused: Callable[..., Result], tiny: Path, folder: Path) -> None:
    (folder / "there").mkdir()
    refused("output-exists", "profile", tiny, "--emit-profiler", "there")
    refused("bad-option", "profile", tiny, "--emit-profiler", "here", "-o", "p.json")
    refused("bad-option", "profile", tiny, "--emit-profiler", "here", "--from-trace", "t.json")
