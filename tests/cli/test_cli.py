"""The command line as a whole: help, failures, Ctrl-C, closed pipes, a machine without OpenCL, start-up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import hetpart
from hetpart.cli import run_command
from hetpart.cli.app import app
from tests.cli.support import Cli, Result

VERBS = [str(command.name) for command in app.registered_commands]
NO_OPENCL = {"HETPART_OPENCL": "/none/libOpenCL.so"}


def hetpart_process(*arguments: object, env: Mapping[str, str] | None = None) -> Result:
    """The command line in a process of its own."""
    command = [sys.executable, "-c", "from hetpart.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | dict(env or {}), check=False)
    return Result(done.returncode, done.stdout, done.stderr)


def test_help_of_everything(cli: Cli) -> None:
    overview = cli("--help")
    assert (overview.code, overview.err) == (0, "")
    for verb in VERBS:
        assert f"  {verb}  " in overview.out
        result = cli(verb, "-h")
        assert (result.code, result.err) == (0, "")
        assert "Exit code 0" in result.out
        assert max(map(len, result.out.splitlines())) <= 80


def test_no_verb_shows_the_help_on_standard_error(cli: Cli) -> None:
    result = cli()
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Usage: hetpart ")


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"hetpart {hetpart.__version__}\n"


def test_usage_errors(refused: Cli) -> None:
    assert "hint: see hetpart --help" in refused("usage", "translate").err
    assert "hint: see hetpart run --help" in refused("usage", "run").err
    assert "hint: see hetpart cache --help" in refused("usage", "cache", "shrink").err
    assert "hint: see hetpart bench --help" in refused("usage", "bench", "x", "--runs", "0").err


def test_our_own_faults_are_exit_code_3(refused: Cli, host_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: object) -> None:
        raise RuntimeError("out of cheese")

    monkeypatch.setattr("hetpart.bundle.read.read_bundle", fail)
    result = refused("internal-error", "inspect", host_bundle, exit_code=3)
    assert "RuntimeError: out of cheese" in result.err
    assert "please report it" in result.err
    with pytest.raises(RuntimeError, match="out of cheese"):
        run_command(["inspect", str(host_bundle), "--debug"])


def test_an_interrupt_that_a_library_reports_in_its_words(
    refused: Cli, host_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error

    monkeypatch.setattr("hetpart.bundle.read.read_bundle", fail)
    refused("interrupted", "inspect", host_bundle)


def test_debug_shows_a_plain_traceback(tmp_path: Path) -> None:
    result = hetpart_process("inspect", tmp_path / "none", "--debug")
    assert result.code == 1, "Python's own exit code"
    assert result.err.startswith("Traceback (most recent call last):\n")
    assert "[no-such-bundle]" in result.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle(tiny: Path, tmp_path: Path, number: signal.Signals) -> None:
    """The signal arrives while the bundle waits under its temporary name for the verdict of the comparison."""
    waiting = (
        "import time, hetpart.build\n"
        "def rehearse(*_): print('now', flush=True); time.sleep(60)\n"
        "hetpart.build.rehearse = rehearse\n"
        "from hetpart.cli import main; main()"
    )
    folder, temporary = tmp_path / "out", tmp_path / "tmp"
    folder.mkdir()
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", waiting, "compile", str(tiny), "-o", str(folder / "bundle")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(temporary)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "now\n"
    assert len(list(folder.iterdir())) == 1
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("error: stopped by the user [interrupted]\n  hint: nothing was written")
    assert list(folder.iterdir()) == []
    assert list(temporary.iterdir()) == []


def test_a_closed_pipe_is_no_fault(host_bundle: Path) -> None:
    command = [sys.executable, "-c", "from hetpart.cli import main; main()", "inspect", str(host_bundle)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=30) == 2
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_full_standard_output_is_reported(host_bundle: Path) -> None:
    command = [sys.executable, "-c", "from hetpart.cli import main; main()", "inspect", str(host_bundle)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: no space left: ")


def test_without_opencl_the_cpu_plan_runs_and_says_so(gpu_bundle: Path, tiny: Path) -> None:
    result = hetpart_process("run", gpu_bundle, env=NO_OPENCL)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("plan: cpu (HETPART_OPENCL=/none/libOpenCL.so ")
    report = hetpart_process("bench", gpu_bundle, "--runs", 1, "--json", env=NO_OPENCL).json()
    assert report["plan"] == "cpu"
    assert "HETPART_OPENCL" in report["fallback_reason"]
    assert set(report["processors"]) == {"cpu"}
    assert hetpart_process("verify", gpu_bundle, tiny, env=NO_OPENCL).code == 0


def test_without_opencl_and_without_a_cpu_plan(cli: Cli, tiny: Path, folder: Path) -> None:
    assert cli("compile", tiny, "--strategy", "gpu", "--verify", "none").code == 0
    result = hetpart_process("run", "tiny.hetpart", env=NO_OPENCL)
    assert (result.code, result.out) == (2, "")
    assert "[no-opencl]\n  hint: " in result.err


def test_verbs_start_without_the_heavy_libraries() -> None:
    script = (
        "import json, sys; from hetpart.cli import run_command\n"
        "code = run_command(sys.argv[1:]); sys.stderr.write(json.dumps([code, sorted(sys.modules)]))"
    )
    for arguments in (["--help"], ["compile", "--help"], ["targets"], ["targets", "sd855"], ["cache"], ["--version"]):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
        code, modules = json.loads(done.stderr)
        assert code == 0
        assert not {"tvm", "onnxruntime", "ortools", "onnx"} & set(modules), arguments
