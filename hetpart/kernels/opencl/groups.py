"""Work-groups that share one row or plane on SIMT devices: a sum or a maximum over it by all items of the group.

One item per row leaves most of a GPU idle. Such a kernel needs its local size, unlike all others: see `Launch.grouped`.
The group's first axis is the group, the second is the row.
"""

from __future__ import annotations

import math

from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl.text import vector

LANE = "lane"
"""The item's number in its group."""


def size(device: Device, length: int) -> int:
    """Items of a group for a row of `length` steps, a power of two; 1 where a row is an item's own work."""
    if device.tile_items:
        return 1
    most = 1 << (math.prod(device.work_group).bit_length() - 1)
    return most if length >= 2 * most else 1


def launch(items: int, rows: int) -> Launch:
    return Launch((items, rows, 1), (items, 1, 1), grouped=True)


def declare(items: int, width: int = 1) -> list[str]:
    """What a kernel with `reduce` says first; `width` is that of what is reduced."""
    return [f"__local {vector(width)} partial[{items}];", f"const int {LANE} = (int)get_local_id(0);"]


def reduce(name: str, items: int, combine: str) -> list[str]:
    """Statements after which ``name`` holds in every item what `combine` makes of all items' values.

    Args:
        combine: an expression of ``{a}`` and ``{b}``.
    """
    pair = combine.format(a=f"partial[{LANE}]", b=f"partial[{LANE} + half_]")
    return [
        f"partial[{LANE}] = {name};",
        "barrier(CLK_LOCAL_MEM_FENCE);",
        f"for (int half_ = {items // 2}; half_ > 0; half_ /= 2) {{",
        f"    if ({LANE} < half_) partial[{LANE}] = {pair};",
        "    barrier(CLK_LOCAL_MEM_FENCE);",
        "}",
        f"{name} = partial[0];",
        "barrier(CLK_LOCAL_MEM_FENCE);",
    ]


def sweep(length: int, step: int, items: int, body: list[str]) -> list[str]:
    """`body` for ``i`` along a row of `length`, a multiple of `step`: neighbouring items take neighbouring steps."""
    start = LANE if step == 1 else f"{LANE} * {step}"
    return [f"for (int i = {start}; i < {length}; i += {items * step}) {{", *("    " + line for line in body), "}"]
