"""How much each channel of a group matters, from the weights that make and read it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hetpart.errors import HetpartError
from hetpart.passes.edit import Array, constant
from hetpart.passes.pruning.groups import Group, Part, Role


def importance(group: Group, measure: str) -> Array:
    """[channels] of float64: the mean over the group's weights of each channel's norm, as a share of the weight's mean.

    Args:
        group: what to weigh.
        measure: ``l1`` or ``l2``, the norm of the slices of all weights that make or read the channel.

    Raises:
        HetpartError: ``unknown-importance``.
    """
    if measure not in MEASURES:
        hint = f"use {', '.join(MEASURES)}"
        raise HetpartError("unknown-importance", f"there is no importance '{measure}'", hint=hint)
    norms = [_norms(part, MEASURES[measure]) for part in group.parts if part.role is not Role.VECTOR]
    weights = [norm / (norm.mean() or 1.0) for norm in norms]
    return np.mean(weights, axis=0, dtype=np.float64)


def _norms(part: Part, norm: Callable[[Array], Array]) -> Array:
    data = constant(part.value)
    assert data is not None
    flat = np.moveaxis(data, part.axis, 0).reshape(data.shape[part.axis], -1).astype(np.float64)
    per_position = norm(flat)
    result: Array = per_position[part.positions].sum(axis=1)
    return result


MEASURES: dict[str, Callable[[Array], Array]] = {
    "l1": lambda rows: np.abs(rows).sum(axis=1),
    "l2": lambda rows: np.square(rows).sum(axis=1),
}
"""Name to norm of the rows of [channels, elements]; l2 is squared, so that slices add up."""
