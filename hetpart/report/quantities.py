"""Durations, sizes and counts as people read them."""

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


def count(number: int) -> str:
    """How many, in three digits or so: ``812``, ``1.24 M``, ``4.09 G``."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= limit:
            return f"{number / limit:.2f}{unit}"
    return str(number)
