"""How many waves an Adreno 640 runs for a convolution of MACE on images, by MACE's choice of work-groups.

A work item computes 4 output channels by 4 pixels of a row, 5 in the kernel for 3 x 3 filters. How the items are
grouped, and the chip's figures, are as CoDL states them for its predictor (github.com/csu-eis/CoDL at b1cbf251,
codl-eval-tools/codl-lat-collect-and-eval/utils: op/conv2d_gpu_calc.py, soc/).
"""

from __future__ import annotations

import itertools
import math

CACHE = 131072  # bytes
UNITS = 2
MAX_GROUP = 1024  # work items
WAVE = 64  # work items
_LINE = 16384  # bytes of cache per unit of MACE's choice

Size = tuple[int, int, int]
"""Work items along blocks of output channels, blocks of pixels of a row, rows."""


def work_group(size: Size, kernel: int) -> Size:
    """MACE's work-group for `size` work items and a filter of `kernel` x `kernel`."""
    channels, columns, rows = size
    base = CACHE // _LINE
    units = UNITS if kernel not in (1, 3) else max(UNITS // 2, 1)
    y = min(columns, MAX_GROUP)
    if kernel == 3:
        base = min(base, 4)
        x = min(channels, base)
    elif kernel != 1:
        x = channels // 4 or channels
    elif y >= base or (y > 1 and channels >= 128):
        x = min(channels, base)
    else:
        x = channels // 8 if channels // 8 >= base else max(channels // 4, base)
    x = min(x, MAX_GROUP // y)
    cached = CACHE // ((2 * row_block(kernel) + 4) * 16)  # work items whose operands fit the cache
    if kernel == 3:
        z = math.ceil(cached // (x * y) // units / base) * base
    else:
        z = cached // (1 if kernel == 1 else kernel) // (x * y) // units * 8
    if z == 0:
        z = rows if kernel not in (1, 3) and rows < 20 else base
    return x, y, max(min(z, rows, MAX_GROUP // (x * y)), 1)


def row_block(kernel: int) -> int:
    """Pixels of a row that a work item computes."""
    return 5 if kernel == 3 else 4


def codl_waves(size: Size, kernel: int) -> int:
    """Waves per compute unit as CoDL counts them: as if all work-groups were whole, and the last one shared out."""
    items = math.prod(work_group(size, kernel))
    return math.ceil(items / WAVE) * math.ceil(math.ceil(math.prod(size) / items) / UNITS)


def waves(size: Size, kernel: int) -> int:
    """Waves per compute unit where the work-groups at the edges hold the work items that are left, no more."""
    parts = [
        [(whole // group, group), (1, whole % group)]
        for whole, group in zip(size, work_group(size, kernel), strict=True)
    ]
    total = 0
    for (n_x, x), (n_y, y), (n_z, z) in itertools.product(*parts):
        total += n_x * n_y * n_z * math.ceil(x * y * z / WAVE)
    return math.ceil(total / UNITS)
