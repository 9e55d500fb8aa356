from __future__ import annotations

from pathlib import Path

import pytest

from hetpart.targets.machine import this_machine


@pytest.mark.parametrize(
    ("line", "lanes", "registers"),
    [
        ("flags\t\t: fpu sse2 avx avx2 avx512f", 16, 32),
        ("flags\t\t: fpu sse2 avx avx2", 8, 16),
        ("flags\t\t: fpu sse2", 4, 16),
        ("Features\t: fp asimd evtstrm", 4, 32),
        ("nothing known", 4, 16),
    ],
)
def test_lanes_follow_the_feature_list(tmp_path: Path, line: str, lanes: int, registers: int) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\n{line}\n\nprocessor\t: 1\n")
    machine = this_machine(cpuinfo)
    assert (machine.lanes, machine.registers) == (lanes, registers)


def test_no_feature_list(tmp_path: Path) -> None:
    machine = this_machine(tmp_path / "missing", tmp_path / "missing")
    assert (machine.lanes, machine.registers, machine.l2_bytes) == (4, 16, 256 << 10)


@pytest.mark.parametrize(("text", "size_bytes"), [("2048K\n", 2 << 20), ("", 256 << 10), ("2M", 256 << 10)])
def test_the_cache_is_as_large_as_the_kernel_says(tmp_path: Path, text: str, size_bytes: int) -> None:
    size = tmp_path / "size"
    size.write_text(text)
    assert this_machine(tmp_path / "missing", size).l2_bytes == size_bytes
