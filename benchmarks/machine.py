"""The machine that a benchmark ran on: what it is, and its arithmetic peak as measured."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import engines
from hetpart.bundle.toolchain import compiler
from hetpart.profile.machine import processor_name


def facts(names: Sequence[str], cores: Sequence[int]) -> dict[str, object]:
    """Processor, system, date and the versions of the installed engines."""
    versions = {}
    for name in names:
        try:
            versions[name] = engines.version(name)
        except RuntimeError:
            continue
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor_name(),
        "cores": list(cores),
        "cores_of_machine": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "commit": _commit(),
    }


def fma_peak(core: int) -> float:
    """GFLOP/s of fused multiply-adds in the widest vectors on `core`, measured in about a quarter of a second."""
    with tempfile.TemporaryDirectory(prefix="hetpart-bench-") as folder:
        program = Path(folder) / "peak"
        source = Path(__file__).with_name("peak.c")
        subprocess.run([*compiler(), "-O2", "-march=native", str(source), "-o", str(program)], check=True)
        done = subprocess.run(
            [program], check=True, capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {core})
        )
    return float(done.stdout)


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    return done.stdout.strip() or "unknown"
