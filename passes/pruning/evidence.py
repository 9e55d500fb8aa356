"""What importances look at beside weights: activations on calibration samples, scales of batch normalisations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from hetpart.activations import activations
from hetpart.calibration import Calibration
from hetpart.errors import HetpartError
from hetpart.passes.canonical_layers import BN_SCALE
from hetpart.passes.edit import Array, is_operator, required, shape_of
from hetpart.passes.pruning.groups import Group
from hetpart.passes.pruning.labels import Role


@dataclass(frozen=True)
class Evidence:
    """What is known of nodes, by name.

    Attributes:
        squares: mean square of each channel that a node's weights read, [channels] of float64.
        scales: the scale of the batch normalisation that a node has taken in, or is, [channels].
    """

    squares: Mapping[str, Array] = field(default_factory=dict)
    scales: Mapping[str, Array] = field(default_factory=dict)


def evidence(model: ir.Model, groups: Iterable[Group], measure: str, calibration: Calibration | None) -> Evidence:
    """What `measure` needs to know.

    Raises:
        HetpartError: ``no-calibration``, or ``no-bn-scale`` if no scale is left.
    """
    if measure == "activation":
        if calibration is None:
            hint = "give --calibration FILE.npz"
            raise HetpartError("no-calibration", "importance=activation needs calibration data", hint=hint)
        return Evidence(squares=_squares(model, groups, calibration))
    if measure == "bn":
        scales = {node.name or "": node.meta[BN_SCALE] for node in model.graph if BN_SCALE in node.meta}
        if not scales:
            hint = "importance=l2 needs none; or export the model with its BatchNormalization nodes"
            raise HetpartError("no-bn-scale", "importance=bn: the model has no batch normalisation", hint=hint)
        return Evidence(scales=scales)
    return Evidence()


def _squares(model: ir.Model, groups: Iterable[Group], calibration: Calibration) -> dict[str, Array]:
    readers = {part.node for group in groups for part in group.parts if part.role is Role.INPUT}
    places = {node.name or "": _data(node) for node in model.graph if node.name in readers}
    sums = {name: np.zeros(shape_of(value)[axis]) for name, (value, axis) in places.items()}
    names = [value.name or "" for value, _ in places.values()]
    for values in activations(model, names, calibration):
        for name, (value, axis) in places.items():
            data = np.moveaxis(values[value.name or ""], axis, 0).reshape(len(sums[name]), -1)
            sums[name] += np.square(data, dtype=np.float64).mean(axis=1) / len(calibration)
    return sums


def _data(node: ir.Node) -> tuple[ir.Value, int]:
    """What the weights of a node are multiplied with, and the axis of its channels, counted from the end."""
    constant_first = node.inputs[0] is not None and node.inputs[0].is_initializer()
    value = required(node, 1 if constant_first else 0)
    if is_operator(node, "Conv", "ConvTranspose"):
        return value, 1 - len(shape_of(value))
    return value, -2 if constant_first else -1
