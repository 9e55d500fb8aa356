"""Progress of long phases on a terminal's standard error; silent elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class TerminalDisplay:
    """A spinner with the running phase; use as a context manager.

    Args:
        hidden: show nothing, because something else is printed to standard error.
    """

    def __init__(self, *, hidden: bool = False) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=hidden or not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task("", total=None)

    def start(self, phase: str) -> None:
        self._progress.update(self._task, description=phase, completed=0, total=None)

    def advance(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)

    def __enter__(self) -> TerminalDisplay:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
