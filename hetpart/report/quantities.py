"""Durations and sizes as people read them."""

from __future__ import annotations


def duration(us: float) -> str:
    """Microseconds in the unit that suits them: ``870 us``, ``12.34 ms``, ``2.50 s``."""
    if us < 1e3:
        return f"{us:.0f} us"
    return f"{us / 1e3:.2f} ms" if us < 1e6 else f"{us / 1e6:.2f} s"


def size(size_bytes: int) -> str:
    """Bytes in decimal units: ``812 B``, ``1.6 KB``, ``12.4 MB``."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    return f"{size_bytes / 1e3:.1f} KB" if size_bytes < 1_000_000 else f"{size_bytes / 1e6:.1f} MB"
