"""The compiled runtime: kept in the cache, keyed by its sources, and a clear error where there is no room for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hetpart.errors import HetpartError
from hetpart.runtime import library


def test_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = library.runtime_library()
    assert path.is_relative_to(tmp_path / "hetpart" / "runtime")
    written = path.stat().st_mtime_ns
    assert library.runtime_library() == path
    assert path.stat().st_mtime_ns == written
    assert [p.name for p in path.parent.iterdir()] == ["libhetpart.so"]


def test_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    with pytest.raises(HetpartError) as caught:
        library.runtime_library()
    assert caught.value.code == "cache-not-writable"
    assert "XDG_CACHE_HOME" in (caught.value.hint or "")


def test_compiler_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(HetpartError, match="the runtime") as caught:
        library.program("run", ["false"])
    assert caught.value.code == "toolchain-failed"
    assert not list(tmp_path.rglob("hetpart-run"))
