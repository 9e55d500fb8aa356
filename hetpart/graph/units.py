"""Units: the DAG that is placed, costed and compiled.

A `Unit` is one kernel's worth of work: an anchor operator and the elementwise epilogue fused into it, or a lone
operator. A `UnitGraph` holds the units together with the canonical model they were made from; it answers who makes a
value, who reads it, what its type is, and what a constant's data are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from hetpart.errors import InternalError
from hetpart.graph.epilogue import Step
from hetpart.graph.quantised import Quantised

KINDS = (
    "conv",  # Conv, any group (depthwise included)
    "conv_transpose",
    "dense",  # Gemm / MatMul with a constant right-hand side
    "matmul",  # MatMul of two activations, batched
    "pool",  # MaxPool, AveragePool
    "global_pool",  # GlobalAveragePool, GlobalMaxPool, and their Reduce forms
    "softmax",
    "layer_norm",
    "instance_norm",
    "eltwise",  # only epilogue steps, applied to the first input
    "concat",
    "channels",  # chains of Concat, channel shuffle, Split, Slice, Gather: `Unit.picks` says which channels
    "resize",
    "pad",  # Pad, and Slice of height and width
    "transpose",
    "view",  # Reshape, Flatten, Squeeze, Unsqueeze: same bytes, another shape
    "repack",  # layout change that hetpart inserted; has no ONNX node
    "qconv",  # DequantizeLinear, Conv, Relu or Clip, QuantizeLinear: `Unit.quantised` says more
    "qdense",  # MatMul likewise, with its bias
    "qpool",  # AveragePool, GlobalAveragePool, GlobalMaxPool likewise
    "qeltwise",  # elementwise steps with DequantizeLinear before or QuantizeLinear behind; or only these
    "other",  # everything else, through TVM's importer
)


Picks = tuple[tuple[int, int], ...]
"""Where each channel of a map comes from: (number of the unit's input, channel there)."""

_CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class TensorType:
    """Static logical type of a value; `dtype` is a numpy name."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def size_bytes(self) -> int:
        """Bytes of a dense tensor of this type."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, eq=False)
class Unit:
    """One kernel's worth of work.

    Attributes:
        name: unique; the anchor node's name.
        kind: one of `KINDS`.
        nodes: the ONNX nodes it covers, in topological order; the first is the anchor. Empty for ``repack``. What
            dequantises the inputs of a quantised unit comes last.
        inputs: the activation values (not initialisers) it reads, without repetition, the anchor's data input first.
        outputs: the values it makes that are read outside of it or are graph outputs.
        steps: the epilogue, in order (for ``eltwise``: all of it).
        operands: the value (activation or initialiser) behind each operand index of `steps`.
        quantised: what the kinds with a q compute in integers.
        picks: of each output, for ``channels``.
    """

    name: str
    kind: str
    nodes: tuple[ir.Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    operands: tuple[str, ...] = ()
    quantised: Quantised | None = None
    picks: tuple[Picks, ...] = ()

    @property
    def anchor(self) -> ir.Node:
        return self.nodes[0]

    @property
    def op(self) -> str:
        """The ONNX operators covered, e.g. ``Conv+Add+Relu``; ``Conv+Relu (int8)`` where integers are computed with."""
        names = [node.op_type for node in self.nodes]
        if self.quantised is not None and (inner := [n for n in names if n not in _CONVERSIONS]):
            return "+".join(inner) + " (int8)"
        return "+".join(names) if names else self.kind


@dataclass
class UnitGraph:
    """Units in topological order and the values between them."""

    model: ir.Model
    units: dict[str, Unit]
    types: dict[str, TensorType]
    producer: dict[str, str] = field(default_factory=dict)
    consumers: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.producer = {v: u.name for u in self.units.values() for v in u.outputs}
        self.consumers = {}
        for unit in self.units.values():
            for value in unit.inputs:
                self.consumers.setdefault(value, []).append(unit.name)
        seen = set(self.inputs)
        for unit in self.units.values():
            missing = [v for v in unit.inputs if v not in seen]
            if missing:
                raise InternalError("unit-order", f"unit reads {missing[0]} before it is made", node=unit.name)
            seen.update(unit.outputs)

    def __iter__(self) -> Iterator[Unit]:
        return iter(self.units.values())

    def __len__(self) -> int:
        return len(self.units)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Graph inputs that are not initialisers, in the model's order."""
        graph = self.model.graph
        return tuple(v.name or "" for v in graph.inputs if v.name not in graph.initializers)

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(v.name or "" for v in self.model.graph.outputs)

    def is_constant(self, value: str) -> bool:
        return value in self.model.graph.initializers

    def constant(self, value: str) -> np.ndarray:
        """Data of an initialiser; raises KeyError for an activation."""
        tensor = self.model.graph.initializers[value].const_value
        if tensor is None:
            raise InternalError("initialiser-without-data", "an initialiser has no data", node=value)
        return tensor.numpy()
