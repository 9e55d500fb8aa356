"""Which inputs of a model are parameters: what shapes, or kernels at compile time, depend on.

An exporter writes such values as constants. ONNX's own tests, and some libraries, pass them as inputs.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto

PARAMETERS: dict[str, tuple[int, ...]] = {
    "AffineGrid": (1,),
    "BlackmanWindow": (0,),
    "CenterCropPad": (1,),
    "Col2Im": (1, 2),
    "ConstantOfShape": (0,),
    "CumProd": (1,),
    "CumSum": (1,),
    "DFT": (1, 2),
    "Dropout": (1, 2),
    "Expand": (1,),
    "HammingWindow": (0,),
    "HannWindow": (0,),
    "If": (0,),
    "Loop": (0, 1),
    "MaxUnpool": (2,),
    "MelWeightMatrix": (0, 1, 2, 3, 4),
    "NonMaxSuppression": (2, 3, 4),
    "OneHot": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    **dict.fromkeys(
        (
            "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
            "ReduceProd", "ReduceSum", "ReduceSumSquare",
        ),
        (1,),
    ),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "STFT": (1, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "SplitToSequence": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}  # fmt: skip
"""Operator -> inputs, by position, that are parameters."""

_SHAPES = frozenset({"Shape", "Size"})
"""What these make does not depend on the data that they read."""

_DISCRETE = frozenset(
    {
        TensorProto.BOOL, TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64, TensorProto.UINT8,
        TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64,
    }
)  # fmt: skip


def parameter_inputs(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the inputs of `model` that are parameters, or from which integer arithmetic makes parameters.

    Floats count only where they are read as a parameter directly (the scales of a Resize, the limits of a Range), so
    that the data of a model never do.
    """
    direct: set[str] = set()
    derived: set[str] = set()
    for node in reversed(model.graph.node):
        positions = PARAMETERS.get(node.op_type, ()) if node.domain in ("", "ai.onnx") else ()
        direct.update(node.input[index] for index in positions if index < len(node.input))
        if node.op_type not in _SHAPES and not (direct | derived).isdisjoint(node.output):
            derived.update(node.input)
    initialised = {tensor.name for tensor in model.graph.initializer}
    return tuple(
        value.name
        for value in model.graph.input
        if value.name not in initialised
        and value.type.WhichOneof("value") == "tensor_type"
        and (value.name in direct or (value.name in derived and value.type.tensor_type.elem_type in _DISCRETE))
    )
