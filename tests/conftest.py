"""For all tests: golden texts, which cases property tests draw, and no waiting for the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The same cases in every run, so that it tells something about the change, not about luck; `make fuzz` draws new ones.
settings.register_profile("fixed", derandomize=True)
settings.register_profile("random", derandomize=False, print_blob=True)
settings.load_profile("fixed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden texts instead of comparing with them")


@pytest.fixture(scope="session", autouse=True)
def _nothing_need_survive_a_power_cut() -> Iterator[None]:
    """A bundle's fifty files are flushed to the disk one by one, which takes longer than compiling a small network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """A function that compares a text with ``golden/<test file>/<test name>.txt`` beside the test file."""
    name = "".join(c if c.isalnum() or c in "-_" else "." for c in request.node.name).strip(".")
    path = Path(request.path).parent / "golden" / request.path.stem.removeprefix("test_") / f"{name}.txt"

    def compare(text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            return
        if not path.exists():
            pytest.fail(f"no golden text {path}; run pytest with --update-golden and review it")
        assert text == path.read_text()

    return compare
