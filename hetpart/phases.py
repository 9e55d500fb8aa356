"""Names and times the phases of a long command, and tells a display about them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Display(Protocol):
    """Shows progress; the command line has one for terminals."""

    def start(self, phase: str) -> None:
        """A phase begins."""

    def advance(self, done: int, total: int) -> None:
        """The running phase did `done` of `total`."""


class Phases:
    """Seconds per phase, in order of first use."""

    def __init__(self, display: Display | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._display = display

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times the block and adds it to `seconds`."""
        if self._display is not None:
            self._display.start(name)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def advance(self, done: int, total: int) -> None:
        """Tells the display how far the running phase is."""
        if self._display is not None:
            self._display.advance(done, total)
