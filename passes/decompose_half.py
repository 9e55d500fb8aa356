"""Decompositions, part 7: half floats. What sums, or exponentiates, in float16 is computed in float32 and rounded once.

TVM's code would round every partial sum; onnxruntime does not, and hetpart's own kernels are float32.
"""

from __future__ import annotations

import onnx_ir as ir

from hetpart.passes.block import Block
from hetpart.passes.edit import operand

WIDENED = (
    "AveragePool", "Conv", "ConvTranspose", "CumSum", "Einsum", "Elu", "Gelu", "Gemm", "GlobalAveragePool",
    "InstanceNormalization", "LRN", "LayerNormalization", "LogSoftmax", "LpPool", "MatMul", "Mish", "ReduceL1",
    "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMean", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Selu",
    "Softmax", "Softplus", "Sum",
)  # fmt: skip


def widen(at: Block) -> bool:
    """An operator of `WIDENED` on float16 -> the same on float32."""
    node = at.node
    half, full = ir.DataType.FLOAT16, ir.DataType.FLOAT
    if node.outputs[0].dtype != half or sum(bool(value.name) for value in node.outputs) != 1:
        return False
    inputs = [operand(node, index) for index in range(len(node.inputs))]
    wide = [at.cast(value, full) if value is not None and value.dtype == half else value for value in inputs]
    attributes = {name: at.attribute(name, None) for name in node.attributes}
    return at.replace(at.cast(at.op(node.op_type, *wide, **attributes), half))
