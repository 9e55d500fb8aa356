"""How much search a solve may do, in CP-SAT's deterministic time: the same on every machine, under any load."""

from __future__ import annotations

DEFAULT_LIMIT = 10.0
"""Deterministic time of all CP-SAT calls of one solve together; roughly seconds of one core."""

_SMALLEST_CHARGE = 1e-3
"""What a call costs at least, so that any number of easy calls ends too."""


class Budget:
    """Deterministic time that is left."""

    def __init__(self, limit: float) -> None:
        self.left = limit

    def __bool__(self) -> bool:
        return self.left > 0

    def slice(self, wanted: float) -> float:
        return max(min(wanted, self.left), 0.0)

    def charge(self, spent: float) -> None:
        self.left -= max(spent, _SMALLEST_CHARGE)
