"""How much each channel of a group matters, from the weights that make and read it, or from what it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from hetpart.errors import HetpartError
from hetpart.passes.edit import Array
from hetpart.passes.pruning.evidence import Evidence
from hetpart.passes.pruning.groups import Group, Part
from hetpart.passes.pruning.labels import Role


def importance(group: Group, measure: str, known: Evidence) -> Array:
    """[channels] of float64, 1 on average: the mean of each channel's shares of what is measured at several places.

    Args:
        group: what to weigh.
        measure: one of `MEASURES`.
        known: what `hetpart.passes.pruning.evidence.evidence` found for the measure.
    """
    found = list(MEASURES[measure](group, known)) or list(_l2(group, known))
    scores: Array = np.stack([values / (values.mean() or 1.0) for values in found]).mean(axis=0)
    return scores


def require_measure(name: str) -> None:
    """Raise HetpartError ``unknown-importance`` unless `name` is one of `MEASURES`."""
    if name not in MEASURES:
        hint = f"use one of {', '.join(MEASURES)}"
        raise HetpartError("unknown-importance", f"there is no importance '{name}'", hint=hint)


def _l1(group: Group, _: Evidence) -> Iterator[Array]:
    """Norm of the weights that make or read a channel."""
    for part in group.parts:
        if part.role is not Role.VECTOR:
            yield _per_channel(part, np.abs(_rows(part)).sum(axis=1))


def _l2(group: Group, _: Evidence) -> Iterator[Array]:
    """As `_l1`, squared, so that the slices of several weights add up."""
    for part in group.parts:
        if part.role is not Role.VECTOR:
            yield _per_channel(part, np.square(_rows(part)).sum(axis=1))


def _activation(group: Group, known: Evidence) -> Iterator[Array]:
    """Mean square of what a channel adds to its readers' outputs, were channels uncorrelated."""
    for part in group.parts:
        if part.role is Role.INPUT:
            rows = _rows(part)
            squares = known.squares[part.node].reshape(-1, len(rows)).mean(axis=0)  # of all groups of a convolution
            yield _per_channel(part, np.square(rows).sum(axis=1) * squares)


def _bn(group: Group, known: Evidence) -> Iterator[Array]:
    """Size of the scale of the batch normalisations that a channel goes through."""
    seen = set()
    for part in group.parts:
        scale = known.scales.get(part.node)
        fits = part.role is not Role.INPUT and scale is not None and part.data().shape[part.axis] == len(scale)
        if scale is not None and fits and part.node not in seen:
            seen.add(part.node)
            yield _per_channel(part, np.abs(scale))


def _rows(part: Part) -> Array:
    """[channels along the axis, elements] of a constant, float64."""
    data = part.data()
    return np.moveaxis(data, part.axis, 0).reshape(data.shape[part.axis], -1).astype(np.float64)


def _per_channel(part: Part, values: Array) -> Array:
    """Sums over the places where each channel of the group lies."""
    sums: Array = values[part.positions].sum(axis=1)
    return sums


MEASURES: dict[str, Callable[[Group, Evidence], Iterator[Array]]] = {
    "l1": _l1,
    "l2": _l2,
    "activation": _activation,
    "bn": _bn,
}
