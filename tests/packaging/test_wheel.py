"""The wheel holds the whole tree and works in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.cli.support import write_tiny

pytest.importorskip("setuptools")

ROOT = Path(__file__).parents[2]
FOLDERS = {"hetpart": "hetpart", "passes": "hetpart/passes", "targets": "hetpart/targets"}
SHIPPED = {".py", ".toml", ".typed", ".c", ".h", ".txt", ".sh", ".json"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in the checkout."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--wheel-dir"]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("hetpart-*-py3-none-any.whl")
    return path


def test_the_wheel_holds_every_file_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        f"{installed}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, installed in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in SHIPPED and "__pycache__" not in path.parts
    }
    assert found == expected
    assert "hetpart/py.typed" in found
    assert "hetpart/runtime/emulation/sysroot.sh" in found


@pytest.mark.slow
def test_the_wheel_works_when_installed(wheel: Path, tmp_path: Path) -> None:
    """An empty environment that sees this one's dependencies, but not the checkout."""
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    libraries = sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)})
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(libraries)
    # after the environment's own packages, and without the .pth files in which the checkout is named
    (Path(libraries) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    write_tiny(tmp_path / "tiny.onnx")

    def hetpart(*arguments: str) -> str:
        command = [python, "-c", "from hetpart.cli import main; main()", *arguments]
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    where = subprocess.run(
        [python, "-c", "import hetpart.passes; print(hetpart.passes.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(environment))
    assert "compile" in hetpart("--help")
    assert "sd855" in hetpart("targets")
    assert "wrote tiny.hetpart" in hetpart("compile", "tiny.onnx")
    assert "logits: float32[1, 10]" in hetpart("run", "tiny.hetpart")
