"""Running an engine's converter."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

LIMIT_S = 900


def run_tool(program: str | Path, *arguments: str | Path, cwd: Path | None = None) -> None:
    """Runs `program`, a path or the name of a script beside this Python.

    Raises:
        RuntimeError: it failed or took more than `LIMIT_S`; the message ends with the last it said.
    """
    beside = Path(sys.executable).parent / program
    path = beside if beside.exists() else Path(shutil.which(program) or program)
    try:
        command = [str(path), *map(str, arguments)]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace", timeout=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{path.name} took more than {LIMIT_S} s") from error
    if done.returncode:
        said = next((line for line in (done.stderr + done.stdout).splitlines() if "error" in line.lower()), "")
        for argument in arguments:  # the files' names are enough
            said = said.replace(f"{Path(argument).parent}/", "") if isinstance(argument, Path) else said
        how = f"died of signal {-done.returncode}" if done.returncode < 0 else f"failed ({done.returncode})"
        raise RuntimeError(f"{path.name} {how}{': ' if said else ''}{said.strip()[:300]}")
