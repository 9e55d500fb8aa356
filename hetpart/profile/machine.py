"""The machine that a profile is measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def processor_name() -> str:
    """What the system calls the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Hardware"):
            return value.strip()
    return platform.processor() or platform.machine()


def load() -> list[float]:
    """Processes that ran or wanted to, averaged over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]
