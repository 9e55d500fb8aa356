"""How much each channel of a group matters, from the weights that make and read it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hetpart.errors import HetpartError
from hetpart.passes.edit import Array
from hetpart.passes.pruning.groups import Group, Part
from hetpart.passes.pruning.labels import Role


def importance(group: Group, measure: str) -> Array:
    """[channels] of float64, 1 on average: the mean over the group's weights of each channel's share of their norm.

    Args:
        group: what to weigh.
        measure: one of `MEASURES`.
    """
    norm = MEASURES[measure]
    norms = [_norms(part, norm) for part in group.parts if part.role is not Role.VECTOR]
    scores: Array = np.stack([values / (values.mean() or 1.0) for values in norms]).mean(axis=0)
    return scores


def require_measure(name: str) -> None:
    """Raise HetpartError ``unknown-importance`` unless `name` is one of `MEASURES`."""
    if name not in MEASURES:
        hint = f"use {' or '.join(MEASURES)}"
        raise HetpartError("unknown-importance", f"there is no importance '{name}'", hint=hint)


def _norms(part: Part, norm: Callable[[Array], Array]) -> Array:
    data = part.data()
    rows = np.moveaxis(data, part.axis, 0).reshape(data.shape[part.axis], -1).astype(np.float64)
    result: Array = norm(rows)[part.positions].sum(axis=1)
    return result


MEASURES: dict[str, Callable[[Array], Array]] = {
    "l1": lambda rows: np.abs(rows).sum(axis=1),
    "l2": lambda rows: np.square(rows).sum(axis=1),
}
"""Norms of the rows of [channels, elements]; l2 is squared, so that the slices of several weights add up."""
