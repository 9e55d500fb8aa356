"""A function that runs the command line in this process, and small models and bundles to run it on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hetpart.cli import run_command
from tests.cli.support import Cli, Result, write_tiny


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled kernels and the compiled runtime of this session's tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="session")
def host_bundle(tiny: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny` for this machine, placed by the default strategy."""
    return _compiled(tiny, tmp_path_factory.mktemp("host") / "tiny.hetpart", cache)


@pytest.fixture(scope="session")
def gpu_bundle(tiny: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny` for this machine, all of it on OpenCL, with a CPU-only plan beside it."""
    options = ("--strategy", "gpu", "--cpu-fallback")
    return _compiled(tiny, tmp_path_factory.mktemp("gpu") / "tiny.hetpart", cache, *options)


def _compiled(model: Path, output: Path, cache: Path, *options: str) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        assert run_command(["compile", str(model), "-o", str(output), *options]) == 0
    return output


@pytest.fixture
def damaged(host_bundle: Path, tmp_path: Path) -> Path:
    """A copy of `host_bundle` to spoil."""
    return Path(shutil.copytree(host_bundle, tmp_path / "damaged.hetpart"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    path = tmp_path / "here"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs ``hetpart ARGUMENTS`` in this process; sees what libraries write past Python, too."""

    def invoke(*arguments: object) -> Result:
        capfd.readouterr()
        code = run_command([str(argument) for argument in arguments])
        return Result(code, *capfd.readouterr())

    return invoke


@pytest.fixture
def refused(cli: Cli) -> Callable[..., Result]:
    """Runs a command that must fail with the given error code: exit code 2, one message, nothing on standard output."""

    def invoke(code: str, *arguments: object, exit_code: int = 2) -> Result:
        result = cli(*arguments)
        assert f"[{code}]" in result.err, result.err
        assert result.code == exit_code
        assert result.out == ""
        assert result.err.startswith("error: ")
        assert "Traceback" not in result.err
        return result

    return invoke
