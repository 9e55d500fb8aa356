"""What TVM's ONNX importer accepts and gets wrong without saying so: refused before it is asked.

Found by running the importer of TVM 0.27 over onnx's own node tests. Every kernel that gets through is still compared
with onnxruntime; the list is for what random inputs need not reveal, and it says why in words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx

from hetpart.errors import HetpartError


class NodeView:
    """A node with its attributes and input shapes at hand."""

    def __init__(self, node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> None:
        self.node = node
        self._attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        self._shapes = shapes

    def integer(self, name: str, default: int = 0) -> int:
        return int(self._attributes.get(name, default))

    def text(self, name: str, default: str = "") -> str:
        value = self._attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def has(self, name: str) -> bool:
        return name in self._attributes

    def input_shape(self, index: int) -> tuple[int, ...]:
        return self._shapes.get(self.node.input[index], ()) if index < len(self.node.input) else ()

    @property
    def output_count(self) -> int:
        return sum(1 for name in self.node.output if name)


@dataclass(frozen=True)
class Denied:
    """`op` is wrong where `applies`, for `reason`."""

    op: str
    applies: Callable[[NodeView], bool]
    reason: str


def _always(_: NodeView) -> bool:
    return True


DENIED: tuple[Denied, ...] = (
    Denied("Attention", lambda n: n.node.domain in ("", "ai.onnx"), "it is taken for com.microsoft's operator"),
    Denied("BatchNormalization", lambda n: n.integer("training_mode") == 1, "training mode is computed as inference"),
    Denied("ConvTranspose", lambda n: n.has("output_shape"), "the attribute output_shape is ignored"),
    Denied("Dropout", lambda n: n.output_count > 1, "the mask is returned with another type"),
    Denied("IsInf", lambda n: n.has("detect_negative") or n.has("detect_positive"), "the sign to detect is ignored"),
    Denied("LayerNormalization", lambda n: n.output_count > 1, "mean and inverse deviation are returned as scalars"),
    Denied("Resize", lambda n: n.integer("antialias") == 1, "antialias is ignored"),
    Denied("Resize", lambda n: n.integer("exclude_outside") == 1, "exclude_outside is ignored"),
    Denied("RoiAlign", lambda n: n.text("mode", "avg") == "max", "the maximum is taken over other sampling points"),
    Denied("Shape", lambda n: n.has("start") or n.has("end"), "an empty range of axes gets another type"),
    Denied("SpaceToDepth", lambda n: n.text("mode", "DCR") == "CRD", "the attribute mode is ignored"),
    *(
        Denied(op, lambda n: 0 in n.input_shape(0), "a reduction over nothing gives another value")
        for op in (
            "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
            "ReduceProd", "ReduceSum", "ReduceSumSquare",
        )
    ),
    *(
        Denied(op, _always, "its result is random, so it cannot be verified")
        for op in (
            "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
        )
    ),
    *(Denied(op, _always, "control flow has no static schedule") for op in ("If", "Loop", "Scan")),
)  # fmt: skip


def refuse_denied(model: onnx.ModelProto) -> None:
    """Raise HetpartError ``no-kernel`` if a node of `model` is on the list or carries strings."""
    shapes = {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in [*model.graph.input, *model.graph.value_info, *model.graph.output]
    }
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    types = [v.type.tensor_type.elem_type for v in [*model.graph.input, *model.graph.output]]
    if onnx.TensorProto.STRING in [*types, *(t.data_type for t in model.graph.initializer)]:
        raise no_kernel(model, "strings have no representation in a kernel")
    if model.functions:
        raise no_kernel(model, "the importer ignores model-local functions", hint="inline them with onnx.inliner")
    for node in model.graph.node:
        view = NodeView(node, shapes)
        for entry in DENIED:
            if entry.op == node.op_type and entry.applies(view):
                raise no_kernel(model, f"{node.op_type}: {entry.reason}", node=node.name)


def no_kernel(
    model: onnx.ModelProto, why: str, *, node: str | None = None, hint: str | None = None, code: str = "no-kernel"
) -> HetpartError:
    """The error that says that `model`, one unit, has no CPU kernel."""
    ops = "+".join(n.op_type for n in model.graph.node)
    name = node or (model.graph.node[0].name if model.graph.node else None)
    return HetpartError(code, f"no CPU kernel for {ops}: {why}", node=name or None, hint=hint)
