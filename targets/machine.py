"""What a CPU kernel generator must know of the machine that hetpart runs on, for the target ``host``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """Vector registers of this machine: float32 `lanes` of each, and how many `registers`; and a core's L2 cache."""

    lanes: int
    registers: int
    l2_bytes: int


def this_machine(
    cpuinfo: Path = Path("/proc/cpuinfo"), l2_size: Path = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")
) -> Machine:
    """Read from the kernel's lists of CPU features and caches.

    An unknown machine counts as 4 lanes (SSE, NEON) and 256 KiB.
    """
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
    l2_bytes = _cache_bytes(l2_size)
    if "avx512f" in features:
        return Machine(lanes=16, registers=32, l2_bytes=l2_bytes)
    if "avx2" in features:
        return Machine(lanes=8, registers=16, l2_bytes=l2_bytes)
    return Machine(lanes=4, registers=32 if "asimd" in features else 16, l2_bytes=l2_bytes)


def _cache_bytes(size: Path) -> int:
    """Reads e.g. ``2048K``."""
    try:
        return int(size.read_text().strip().removesuffix("K")) << 10
    except (OSError, ValueError):
        return 256 << 10
