from __future__ import annotations

from pathlib import Path

import pytest

from hetpart.targets.machine import Machine, this_machine


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flags\t\t: fpu sse2 avx avx2 avx512f", Machine(16, 32)),
        ("flags\t\t: fpu sse2 avx avx2", Machine(8, 16)),
        ("flags\t\t: fpu sse2", Machine(4, 16)),
        ("Features\t: fp asimd evtstrm", Machine(4, 32)),
        ("nothing known", Machine(4, 16)),
    ],
)
def test_lanes_follow_the_feature_list(tmp_path: Path, line: str, expected: Machine) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\n{line}\n\nprocessor\t: 1\n")
    assert this_machine(cpuinfo) == expected


def test_no_feature_list(tmp_path: Path) -> None:
    assert this_machine(tmp_path / "missing") == Machine(4, 16)
