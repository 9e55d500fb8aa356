"""What the conditions of a profile look at: one ONNX node of an imported model, with static shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from hetpart.errors import InternalError


@dataclass(frozen=True)
class Site:
    """One node and where it would run.

    Attributes:
        node: every value of it has a static shape.
        level: feature level of the engine, where it has such levels.
    """

    node: ir.Node
    level: int = 0

    @property
    def x(self) -> ir.Value:
        """The first input."""
        value = self.node.inputs[0] if self.node.inputs else None
        if value is None:
            raise InternalError("missing-input", f"{self.node.op_type} has no first input", node=self.node.name)
        return value

    def inputs(self) -> list[ir.Value]:
        return [value for value in self.node.inputs if value is not None]

    def outputs(self) -> list[ir.Value]:
        return [value for value in self.node.outputs if value.name]

    def ints(self, name: str, default: Sequence[int] = ()) -> tuple[int, ...]:
        return tuple(self.node.attributes.get_ints(name, default))

    def integer(self, name: str, default: int = 0) -> int:
        return self.node.attributes.get_int(name, default)

    def text(self, name: str, default: str = "") -> str:
        return self.node.attributes.get_string(name, default)

    def constant(self, index: int) -> np.ndarray | None:
        """Data of a constant input; None for an activation and for an input that is not there."""
        value = self.node.inputs[index] if index < len(self.node.inputs) else None
        return None if value is None or value.const_value is None else value.const_value.numpy()

    def axes(self) -> tuple[int, ...]:
        """The axes that a reduction reduces, from 0 on."""
        rank = len(shape(self.x))
        if self.node.op_type.startswith("Global"):
            return tuple(range(2, rank))
        given = self.constant(1)
        axes = self.ints("axes") if given is None else tuple(int(axis) for axis in given)
        return tuple(sorted(axis % rank for axis in axes)) or tuple(range(rank))


def shape(value: ir.Value) -> tuple[int, ...]:
    """Static shape of `value`.

    Raises:
        InternalError: it has none; an imported model's values all have one.
    """
    if value.shape is None or not value.shape.is_static():
        raise InternalError("untyped-value", "a value has no static shape", node=value.name)
    return tuple(int(size) for size in value.shape.numpy())


def dtype(value: ir.Value) -> str:
    """Numpy name of the type of `value`."""
    return "" if value.dtype is None else str(value.dtype.numpy())


def is_constant(value: ir.Value) -> bool:
    """Whether `value` is known ahead of time: an initialiser, or one in integers that is dequantised."""
    if value.const_value is not None:
        return True
    maker = value.producer()
    if maker is None or maker.op_type != "DequantizeLinear":
        return False
    return all(value is None or value.const_value is not None for value in maker.inputs)
