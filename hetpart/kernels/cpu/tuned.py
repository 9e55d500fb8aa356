"""Measured choices: the tables that come with hetpart, and over them the user's, which `hetpart tune` writes.

One JSON file per processor model (LLVM's name) and vector width. A table is data: an entry that is missing costs speed,
never correctness. Tables that come with hetpart hold the shapes of the sample networks (examples/zoo).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from hetpart.cache import cache_root
from hetpart.errors import HetpartError
from hetpart.files import written
from hetpart.kernels.isa import Isa

Table = dict[str, list[Any]]
"""Shape (see hetpart.kernels.cpu.conv_choice.shape_key) -> choice."""


def lookup(shape: str, isa: Isa) -> list[Any] | None:
    """The measured choice for a shape."""
    return _table(isa.mcpu, isa.lanes).get(shape)


def user_file(isa: Isa) -> Path:
    return cache_root() / "tuned" / _file_name(isa.mcpu, isa.lanes)


def record(entries: Mapping[str, list[Any]], isa: Isa) -> Path:
    """Adds `entries` to the user's table; returns its path.

    Raises:
        HetpartError: ``cannot-write``, ``disk-full``.
    """
    path = user_file(isa)
    table = read(path) | dict(entries)
    lines = ",\n".join(f"{json.dumps(shape)}: {json.dumps(choice)}" for shape, choice in sorted(table.items()))
    with written(path, make_folder=True) as file:
        file.write(f"{{\n{lines}\n}}\n".encode())
    forget()
    return path


def forget() -> None:
    """Read the tables anew when they are next asked for."""
    _table.cache_clear()


@cache
def _table(mcpu: str, lanes: int) -> Table:
    name = _file_name(mcpu, lanes)
    return read(resources.files(__package__) / "tables" / name) | read(cache_root() / "tuned" / name)


def _file_name(mcpu: str, lanes: int) -> str:
    return f"{mcpu}-{lanes}.json"


def read(path: Traversable) -> Table:
    """A table on disk, empty if there is none.

    Raises:
        HetpartError: ``bad-table`` if it is damaged.
    """
    try:
        table = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise HetpartError("bad-table", f"cannot read {path}: {error}", hint="delete it, and tune again") from error
    if not isinstance(table, dict):
        raise HetpartError("bad-table", f"{path} is not a table of choices", hint="delete it, and tune again")
    return table
