"""Progress goes to a terminal's standard error and nowhere else."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path


def test_a_terminal_sees_the_phases_and_json_stays_clean(tiny: Path, folder: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from hetpart.cli import main; main()", "compile", str(tiny), "--json"]
    with Path("out.json").open("w+") as out:
        process = subprocess.Popen(command, stdout=out, stderr=theirs, env=os.environ | {"TERM": "xterm"})
        os.close(theirs)
        shown = b""
        try:  # read at once: a terminal that nobody reads stops the program after some kilobytes
            while chunk := os.read(ours, 1 << 16):
                shown += chunk
        except OSError:
            pass  # how Linux reports the end of a terminal
        os.close(ours)
        assert process.wait() == 0
    assert b"kernels" in shown
    assert json.loads(Path("out.json").read_text())["strategy"] == "ilp"
