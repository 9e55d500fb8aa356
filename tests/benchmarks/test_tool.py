"""Converters' failures in words."""

from pathlib import Path

import pytest

from benchmarks.engines.tool import run_tool


def test_a_failure_says_what_the_tool_said_without_our_folders(tmp_path: Path) -> None:
    run_tool("sh", "-c", "true")
    with pytest.raises(RuntimeError, match=r"^sh failed \(3\): model\.mlir:7: error: no such thing$"):
        run_tool("sh", "-c", 'echo "$0:7: error: no such thing" >&2; exit 3', tmp_path / "model.mlir")
    with pytest.raises(RuntimeError, match=r"^sh died of signal 11$"):
        run_tool("sh", "-c", "kill -SEGV $$")
