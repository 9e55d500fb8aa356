"""A kernel applied to values, and what those who choose it ask about a unit (hetpart.kernels.select)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from hetpart.errors import InternalError
from hetpart.graph.assign import Assignment
from hetpart.graph.layout import Blocked, Layout, Plain, Strided, pack
from hetpart.graph.units import Unit
from hetpart.kernels.spec import Spec

Source = str | np.ndarray
"""An activation value, or a constant in its physical form."""


@dataclass(frozen=True, eq=False)
class KernelCall:
    """One kernel applied to named values.

    Attributes:
        spec: what is computed.
        sources: what it reads, in the order ``spec.inputs`` then ``spec.operands``.
        outputs: the values it writes.
        constants: ONNX constants by role (``w``, ``b``, ``scale``), for the generator's `pack`.
    """

    spec: Spec
    sources: tuple[Source, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """A unit with what its selector asks about it."""

    unit: Unit
    assignment: Assignment

    @property
    def node(self) -> ir.Node:
        return self.unit.anchor

    @property
    def output(self) -> str:
        return self.unit.outputs[0]

    @property
    def out(self) -> Layout:
        return self.layout(self.output)

    def layout(self, value: str) -> Layout:
        return self.assignment.layouts[value]

    def blocked(self, value: str) -> Blocked:
        form = self.layout(value)
        if not isinstance(form, Blocked):
            raise InternalError("layout-form", "a blocked value is expected", node=value)
        return form

    def plain(self, value: str) -> Plain:
        form = self.strided(value)
        if isinstance(form, Strided):
            raise InternalError("layout-form", "a plain value is expected", node=value)
        return form

    def strided(self, value: str) -> Plain:
        """The layout of a plain value, or of a view of one."""
        form = self.layout(value)
        if not isinstance(form, Plain):
            raise InternalError("layout-form", "a plain value is expected", node=value)
        return form

    def name(self, index: int) -> str | None:
        """The ONNX name of the anchor's input, None if it is left out."""
        inputs = self.node.inputs
        value = inputs[index] if index < len(inputs) else None
        return value.name if value is not None else None

    def source(self, index: int) -> str:
        name = self.name(index)
        if name is None:
            raise InternalError("missing-input", f"input {index} is missing", node=self.unit.name)
        return self.assignment.source(self.unit.name, name)

    def constant(self, index: int) -> np.ndarray | None:
        name = self.name(index)
        return None if name is None else self.assignment.graph.constant(name)

    def constants(self, **roles: int) -> dict[str, np.ndarray]:
        """The present constants by role, from input indices."""
        found = {role: self.constant(index) for role, index in roles.items()}
        return {role: data for role, data in found.items() if data is not None}

    def operands(self) -> tuple[tuple[Layout, ...], tuple[Source, ...]]:
        """Layouts and sources of the epilogue's operands."""
        layouts: list[Layout] = []
        sources: list[Source] = []
        for value in self.unit.operands:
            if self.assignment.graph.is_constant(value):
                form, data = self._constant_operand(self.assignment.graph.constant(value))
                layouts.append(form)
                sources.append(data)
            else:
                value = self.assignment.source(self.unit.name, value)
                layouts.append(self.layout(value))
                sources.append(value)
        return tuple(layouts), tuple(sources)

    def _constant_operand(self, data: np.ndarray) -> tuple[Layout, np.ndarray]:
        if isinstance(self.out, Plain):
            form: Layout = Plain(tuple(data.shape), str(data.dtype))
            return form, pack(data, form)
        data = data.reshape((1,) * (4 - data.ndim) + data.shape)
        n, _, h, w = data.shape
        data = np.broadcast_to(data, (n, self.out.c, h, w))
        form = Blocked(n, self.out.c, h, w, self.out.block)
        return form, pack(data, form)
