"""How much search a solve may do, in deterministic units: the same result on every machine, under any load."""

from __future__ import annotations

DEFAULT_LIMIT = 10.0
"""Units of search of one solve; a unit takes one core about 0.75 s."""


class Budget:
    """The search that is left, in units."""

    def __init__(self, limit: float) -> None:
        self.left = limit

    def __bool__(self) -> bool:
        return self.left > 0

    def charge(self, spent: float) -> None:
        self.left -= spent
