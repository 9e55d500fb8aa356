"""OpenCL out of Python packages: named in the environment unless the user chose something."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hetpart.runtime.opencl_loader import use_packaged_opencl

NAMES = ("HETPART_OPENCL", "OCL_ICD_VENDORS", "PYOPENCL_HOME")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is restored afterwards
        monkeypatch.delenv(name)


def test_packages_are_found() -> None:
    pytest.importorskip("pyopencl")
    pytest.importorskip("pocl_binary_distribution")
    use_packaged_opencl()
    assert all(Path(os.environ[name]).exists() for name in NAMES)
    assert Path(os.environ["HETPART_OPENCL"]).name.startswith("libOpenCL")


def test_the_users_choice_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HETPART_OPENCL", "/opt/libOpenCL.so")
    use_packaged_opencl()
    assert os.environ["HETPART_OPENCL"] == "/opt/libOpenCL.so"
    assert "OCL_ICD_VENDORS" not in os.environ


def test_without_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hetpart.runtime.opencl_loader.find_spec", lambda name: None)
    use_packaged_opencl()
    assert not any(name in os.environ for name in NAMES)


def test_a_machine_without_a_linker_gets_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("pyopencl")
    pytest.importorskip("pocl_binary_distribution")
    shell = shutil.which("sh")
    assert shell
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to(shell)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    use_packaged_opencl()
    version = subprocess.run(["ld", "--version"], capture_output=True, text=True, check=True)
    assert "LLD" in version.stdout
