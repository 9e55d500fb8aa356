"""Pasting a benchmark's tables into a page, between the marks ``<!-- NAME -->`` and ``<!-- end of NAME -->``."""

from __future__ import annotations

from pathlib import Path


def paste(page: Path, name: str, text: str) -> None:
    """Replaces what stands between the marks.

    Raises:
        ValueError: the page lacks one of the marks.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    head, found, rest = page.read_text().partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page} has no marks {begin.strip()} and {end}")
    page.write_text(f"{head}{begin}{text.strip()}\n{end}{tail}")
