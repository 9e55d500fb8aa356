"""What a CPU kernel generator must know of the machine that hetpart runs on, for the target ``host``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """Vector registers of this machine: float32 `lanes` of each, and how many `registers`."""

    lanes: int
    registers: int


def this_machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> Machine:
    """Read from the kernel's list of CPU features; an unknown machine counts as 4 lanes (SSE, NEON)."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    features: set[str] = set()
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):  # x86 and Arm spelling
            features.update(value.split())
            break
    if "avx512f" in features:
        return Machine(lanes=16, registers=32)
    if "avx2" in features:
        return Machine(lanes=8, registers=16)
    return Machine(lanes=4, registers=32 if "asimd" in features else 16)
