"""Emulation of a phone's bundle: same numbers, and messages that say what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hetpart.errors import HetpartError
from hetpart.runtime.emulate import emulate


@pytest.mark.emulated
@pytest.mark.slow
def test_both_processors(emulated_toy: Path, sysroot: Path, plans: Any, x: np.ndarray) -> None:
    for plan in ("cpu", "main"):
        outputs = emulate(emulated_toy, {"x": x}, sysroot=sysroot, plan=plan)
        for name, wanted in plans.expected(x).items():
            assert np.linalg.norm(outputs[name] - wanted) <= 1e-6 * np.linalg.norm(wanted)


@pytest.mark.emulated
@pytest.mark.slow
def test_errors_of_the_emulated_runtime(emulated_toy: Path, sysroot: Path, x: np.ndarray) -> None:
    with pytest.raises(HetpartError, match="an element is too large") as caught:
        emulate(emulated_toy, {"x": x + np.float32(2e30)}, sysroot=sysroot, plan="cpu")
    assert caught.value.code == "kernel-failed"
    with pytest.raises(HetpartError) as caught:
        emulate(emulated_toy, {"x": x}, sysroot=sysroot, plan="gpu")
    assert caught.value.code == "no-such-plan"
    with pytest.raises(HetpartError) as caught:
        emulate(emulated_toy, {}, sysroot=sysroot)
    assert caught.value.code == "bad-input"


def test_missing_sysroot(toy: Path, tmp_path: Path, x: np.ndarray) -> None:
    with pytest.raises(HetpartError) as caught:
        emulate(toy, {"x": x}, sysroot=tmp_path)
    assert caught.value.code == "no-emulator"
    assert "qemu-user-static" in (caught.value.hint or "")
    assert "sysroot.sh" in (caught.value.hint or "")


def test_bundle_for_another_machine(make_toy: Any, plans: Any, tmp_path: Path, x: np.ndarray) -> None:
    (tmp_path / ".hetpart-sysroot").write_text("1\n")
    with pytest.raises(HetpartError) as caught:
        emulate(make_toy({"main": plans.cpu()}), {"x": x}, sysroot=tmp_path)
    assert caught.value.code == "cpu-module"
