"""Places of a layer's output, and what a convolution multiplies with each of its filters there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from hetpart.passes.edit import Array, attribute

Places = np.ndarray[Any, np.dtype[np.int64]]
"""Some positions of an output: flat indices over the runs, if several, and all axes but the channels."""

ROWS_PER_COLUMN = 4
FEWEST_ROWS = 8192
"""Places of a layer's output that are looked at: so many per column of its input, and no fewer than these."""


def share(places: int, columns: int) -> float:
    """Of so many places, over all samples, the share that is looked at; 1 or more: all."""
    return max(FEWEST_ROWS, ROWS_PER_COLUMN * columns) / places


def some_places(total: int, share: float, random: np.random.Generator) -> Places:
    """That share of `total` places, drawn without replacement."""
    return np.arange(total) if share >= 1 else random.choice(total, math.ceil(share * total), replace=False)


def patches(node: ir.Node, x: Array, kernel: tuple[int, ...], space: tuple[int, ...], places: Places) -> Array:
    """[places, c, kernel...]: what convolution `node` multiplies with each filter there.

    Args:
        node: a Conv in canonical form.
        x: what it reads, [..., c, space before...]; axes in front are flattened to one, the first of `places`.
        kernel: of the convolution.
        space: of its output.
        places: flat indices into [all axes in front, *space].
    """
    rank = len(space)
    strides, dilations = attribute(node, "strides", (1,) * rank), attribute(node, "dilations", (1,) * rank)
    pads = attribute(node, "pads", (0,) * 2 * rank)
    x = x.reshape(-1, *x.shape[-1 - rank :])
    padded = np.pad(x, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, extents, axis=tuple(range(2, 2 + rank)))
    every: tuple[slice, ...] = tuple(slice(None, None, d) for d in dilations)
    windows = windows[(slice(None),) * (2 + rank) + every]
    sample, *position = np.unravel_index(places, (len(x), *space))
    found: Array = windows[(sample, slice(None), *(p * s for p, s in zip(position, strides, strict=True)))]
    return found
