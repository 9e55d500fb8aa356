"""Typed access to a table of a target file, with errors that name the file, the key and what is expected there.

A `Table` is read key by key; `close` then refuses whatever was not asked for, so that a misspelt key is an error and
not a silently ignored wish.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hetpart.errors import HetpartError

_LARGEST_SHARE = 10


class Table:
    """One TOML table.

    Attributes:
        source: name of the file, for messages.
        path: dotted path of the table within the file, empty for the file itself.
    """

    def __init__(self, data: Mapping[str, Any], source: str, path: str = "") -> None:
        self.source = source
        self.path = path
        self._data = data
        self._read: set[str] = set()

    def error(self, key: str, expected: str, hint: str | None = None) -> HetpartError:
        """The error for a bad or missing `key`; `expected` completes "must be"."""
        found = f", not {self._data[key]!r}" if key in self._data else "; it is missing"
        if key not in self._data and hint is None:
            unread = [name for name in self._data if name not in self._read]
            if close := difflib.get_close_matches(key, unread, n=1):
                hint = f"it says {close[0]}; did you mean {key}?"
        return HetpartError("bad-target", f"{self.source}: {self._name(key)} must be {expected}{found}", hint=hint)

    def __contains__(self, key: str) -> bool:
        self._read.add(key)
        return key in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def text(self, key: str) -> str:
        value = self._take(key)
        if not isinstance(value, str) or not value:
            raise self.error(key, "a non-empty string")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings, possibly empty."""
        value = self._take(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(key, "a list of strings")
        return tuple(value)

    def choice(self, key: str, choices: Iterable[str]) -> str:
        value = self._take(key)
        known = list(choices)
        if value not in known:
            close = difflib.get_close_matches(str(value).lower(), known, n=1, cutoff=0.7) if key in self._data else []
            raise self.error(key, "one of " + ", ".join(known), f"did you mean {close[0]}?" if close else None)
        return str(value)

    def flag(self, key: str) -> bool:
        value = self._take(key)
        if not isinstance(value, bool):
            raise self.error(key, "true or false")
        return value

    def integer(self, key: str, *, minimum: int = 1, native: int | None = None) -> int:
        """A whole number; where `native` is given, the word "native" stands for it."""
        value = self._take(key)
        if value == "native" and native is not None:
            return native
        if type(value) is not int or value < minimum:  # a bool is no number here
            raise self.error(key, f"a whole number of at least {minimum}")
        return value

    def triple(self, key: str) -> tuple[int, int, int]:
        """A list of three positive whole numbers."""
        value = self._take(key)
        if isinstance(value, list) and len(value) == 3 and all(type(item) is int and item >= 1 for item in value):
            return value[0], value[1], value[2]
        raise self.error(key, "a list of three positive whole numbers")

    def number(self, key: str, *, zero: bool = False) -> float:
        """A finite number: positive, or at least 0 if `zero`."""
        value = self._take(key)
        if type(value) in (int, float) and math.isfinite(value) and (value > 0 or (zero and value == 0)):
            return float(value)
        raise self.error(key, "a number of at least 0" if zero else "a positive number")

    def share(self, key: str) -> float:
        """A share of a roof: a positive number. It may exceed 1 (Winograd, integers), but not tenfold."""
        value = self.number(key)
        if value > _LARGEST_SHARE:
            raise self.error(key, f"a share of at most {_LARGEST_SHARE}", "1 is all of it; it is no percentage")
        return value

    def table(self, key: str) -> Table:
        value = self._take(key)
        if not isinstance(value, dict):
            raise self.error(key, "a table")
        return Table(value, self.source, self._name(key))

    def tables(self, key: str) -> tuple[Table, ...]:
        """An array of tables; absent means empty."""
        if key not in self:
            return ()
        value = self._take(key)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(key, "an array of tables ([[...]])")
        return tuple(Table(item, self.source, f"{self._name(key)}[{index}]") for index, item in enumerate(value))

    def facts(self, key: str) -> dict[str, str]:
        """A free table of scalars, rendered as text; absent means empty."""
        if key not in self:
            return {}
        table = self.table(key)
        for name, value in table._data.items():
            if not isinstance(value, str | int | float | bool):
                raise table.error(name, "a string, a number or a boolean")
        return {name: str(value) for name, value in table._data.items()}

    def close(self) -> None:
        """Refuse keys that nobody asked for."""
        for key in self._data:
            if key not in self._read:
                close = difflib.get_close_matches(key, self._read, n=1)
                raise HetpartError(
                    "bad-target",
                    f"{self.source}: unknown key {self._name(key)}",
                    hint=f"did you mean {close[0]}?" if close else "known here: " + ", ".join(sorted(self._read)),
                )

    def _name(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def _take(self, key: str) -> Any:
        self._read.add(key)
        return self._data.get(key)
