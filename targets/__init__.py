"""Targets: the phones (and this machine) that hetpart compiles for, one TOML file each."""

from __future__ import annotations

import difflib
import tomllib
from functools import cache
from pathlib import Path

from hetpart.errors import HetpartError
from hetpart.targets.machine import this_machine
from hetpart.targets.read import read_target
from hetpart.targets.schema import (
    Cluster,
    CostTable,
    CpuCodegen,
    HexagonCodegen,
    Link,
    OpenclCodegen,
    Processor,
    Target,
)
from hetpart.targets.sources import sources
from hetpart.targets.table import Table

__all__ = [
    "Cluster",
    "CostTable",
    "CpuCodegen",
    "HexagonCodegen",
    "Link",
    "OpenclCodegen",
    "Processor",
    "Target",
    "load_target",
    "target_names",
    "target_sources",
]

_FOLDER = Path(__file__).parent


@cache
def target_names() -> tuple[str, ...]:
    """Names of the targets that come with hetpart, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load_target(name_or_path: str) -> Target:
    """The target of that name, or the one described by a ``.toml`` file of the user's.

    Raises:
        HetpartError: ``unknown-target`` (lists the names, suggests the closest), ``target-file`` (cannot be read or
            is no TOML), ``bad-target`` (names the key and what is expected there).
    """
    path, text = _read(name_or_path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise HetpartError("target-file", f"{path} is not valid TOML: {error}") from error
    return read_target(Table(data, path.name), path.stem, this_machine())


def target_sources(name_or_path: str) -> dict[str, str]:
    """Where the figures of a target come from, by the path of the key: see `hetpart.targets.sources`.

    Raises:
        HetpartError: as `load_target`, for a target that is unknown or cannot be read.
    """
    return sources(_read(name_or_path)[1])


def _read(name_or_path: str) -> tuple[Path, str]:
    if name_or_path in target_names():
        path = _FOLDER / f"{name_or_path}.toml"
    else:
        path = Path(name_or_path)
        if path.suffix != ".toml":
            close = difflib.get_close_matches(name_or_path, target_names(), n=1, cutoff=0.4)
            suggestion = f"did you mean {close[0]}? " if close else ""
            raise HetpartError(
                "unknown-target",
                f"there is no target {name_or_path!r}",
                hint=f"{suggestion}known targets: {', '.join(target_names())}; or give a path to a .toml file",
            )
    try:
        return path, path.read_text(encoding="utf-8")
    except OSError as error:
        raise HetpartError("target-file", f"cannot read target file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise HetpartError("target-file", f"{path} is not valid TOML: {error}") from error
