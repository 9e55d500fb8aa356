"""Launches: how many work-items a kernel wants, rounded up to whole work-groups, and the guard that this needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hetpart.kernels.kernel import Device, Launch


@dataclass(frozen=True)
class Grid:
    """Work-items along x, y and z."""

    x: int
    y: int = 1
    z: int = 1

    @property
    def sizes(self) -> tuple[int, int, int]:
        return (self.x, self.y, self.z)

    def launch(self, device: Device) -> Launch:
        """Whole work-groups that cover the grid.

        A group is no larger than the grid along any axis; what it loses there it gains along the others.
        """
        local = [min(size, group) for size, group in zip(self.sizes, device.work_group, strict=True)]
        for axis, size in enumerate(self.sizes):
            spare = math.prod(device.work_group) // math.prod(local)
            local[axis] = min(size, local[axis] * spare)
        x, y, z = local
        return Launch((_round_up(self.x, x), _round_up(self.y, y), _round_up(self.z, z)), (x, y, z))

    def guard(self, device: Device) -> list[str]:
        """The statement that ends the surplus work-items of the last work-groups, if there are any."""
        rounded = self.launch(device).global_size
        surplus = [
            f"get_global_id({axis}) >= {size}"
            for axis, (size, launched) in enumerate(zip(self.sizes, rounded, strict=True))
            if launched > size
        ]
        return [f"if ({' || '.join(surplus)}) return;"] if surplus else []


def item(axis: int, count: int) -> str:
    """The work-item's index along `axis` as an int expression; ``0`` where there is only one."""
    return f"(int)get_global_id({axis})" if count > 1 else "0"


def _round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
