"""The files that a plan needs: damage is found, and what does not belong together is not run together."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hetpart.bundle.toolchain import Module, run_tool, zig
from hetpart.runtime.binding import Error, check, library
from hetpart.runtime.opencl_loader import use_packaged_opencl

TRIPLE = f"{os.uname().machine}-linux-gnu"
LIBRARY = f"cpu/{TRIPLE}/libmodel.so"
CPU = ("--plan", "plan-cpu.bin")
FILE, PLAN, MODULE = 2, 3, 5  # hp_code


@pytest.fixture
def copy(toy: Path, tmp_path: Path) -> Path:
    shutil.copytree(toy, tmp_path / "copy")
    return tmp_path / "copy"


def run(runner: Path, bundle: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [runner, bundle, *flags]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 4
    path.write_bytes(data)


def load(bundle: Path) -> None:
    """hp_load of the main plan, and nothing of Python's own checks."""
    use_packaged_opencl()
    model, error = ctypes.c_void_p(), Error()
    code = library().hp_load(os.fsencode(bundle), None, model, error)
    library().hp_free(model)
    check(code, error)


@pytest.mark.parametrize("part", ["weights.bin", LIBRARY])
@pytest.mark.parametrize("where", [0, 0.5, -1])
def test_one_flipped_bit_is_found(runner: Path, copy: Path, part: str, where: float) -> None:
    size = (copy / part).stat().st_size
    flip(copy / part, -1 if where < 0 else int(where * size))
    done = run(runner, copy, *CPU)
    assert done.returncode == FILE, done.stderr
    assert f"{part}: damaged" in done.stderr


def test_a_flipped_bit_in_the_gpu_kernels_is_found(copy: Path) -> None:
    load(copy)
    flip(copy / "gpu" / "kernels.cl", 40)
    with pytest.raises(Exception, match=r"kernels\.cl: damaged") as caught:
        load(copy)
    assert (caught.value.code, bool(caught.value.hint)) == ("bundle-file", True)  # type: ignore[attr-defined]


def test_the_check_can_be_skipped_but_lengths_are_compared(runner: Path, copy: Path, tmp_path: Path) -> None:
    data = bytearray((copy / "weights.bin").read_bytes())
    data[64:68] = np.float32(5).tobytes()  # the first element of w
    (copy / "weights.bin").write_bytes(data)
    np.ones((24, 16), np.float32).tofile(tmp_path / "x.bin")
    flags = [*CPU, "--skip-file-check", "--input", f"x={tmp_path / 'x.bin'}", "--output-dir", str(tmp_path)]
    done = run(runner, copy, *flags)
    assert done.returncode == 0, done.stderr
    assert np.fromfile(tmp_path / "output-0.bin", np.float32)[0] == 2 * (1 * 5 + 1 + 1)
    (copy / "weights.bin").write_bytes(data[:-4])
    done = run(runner, copy, *flags)
    assert (done.returncode, "has 124 bytes, the plan expects 128" in done.stderr) == (FILE, True), done.stderr


def test_a_library_is_looked_for_as_the_system_does(runner: Path, toy: Path, copy: Path) -> None:
    """Android: an app's libraries are in its package, where dlopen finds them by name."""
    shutil.rmtree(copy / "cpu")
    assert run(runner, copy, *CPU, "--module", "libmodel.so").returncode == MODULE
    done = run(runner, copy, *CPU, "--module", "libmodel.so", LD_LIBRARY_PATH=str((toy / LIBRARY).parent))
    assert done.returncode == 0, done.stderr


def test_kernels_of_another_bundle_are_refused(
    runner: Path, copy: Path, make_toy: Callable[..., Path], host_module: dict[str, Module], tmp_path: Path
) -> None:
    """Their names may be the same, and what they expect of the weights another thing."""
    changed = host_module[TRIPLE].relocatable
    symbols = tmp_path / "exports"
    symbols.write_text("{ global: hp_module; local: *; };\n")
    value, other = host_module[TRIPLE].digest.to_bytes(8, "little"), (1).to_bytes(8, "little")
    assert changed.count(value) == 1
    (tmp_path / "model.o").write_bytes(changed.replace(value, other))
    link = [*zig("ld.lld", "-m", {"x86_64": "elf_x86_64", "aarch64": "aarch64linux"}[os.uname().machine]), "-shared"]
    run_tool([*link, "--version-script", "exports", "-o", "other.so", "model.o"], tmp_path, "a library")
    done = run(runner, copy, *CPU, "--module", str(tmp_path / "other.so"))
    assert done.returncode == MODULE, done.stderr
    assert "are those of another bundle" in done.stderr
    bundle = make_toy(modules={TRIPLE: dataclasses.replace(host_module[TRIPLE], digest=1)})
    done = run(runner, bundle, *CPU, "--module", str(copy / LIBRARY))
    assert done.returncode == MODULE, done.stderr


def test_parts_of_another_bundle_are_refused(
    runner: Path, copy: Path, make_toy: Callable[..., Path], plans: Any
) -> None:
    other = make_toy({"main": plans.split(), "cpu": plans.cpu()}, weights=bytes(128))
    shutil.copy(other / "weights.bin", copy)
    assert run(runner, copy, *CPU).returncode == FILE
    shutil.copy(other / "plan-cpu.bin", copy)
    assert run(runner, copy, *CPU).returncode == 0
