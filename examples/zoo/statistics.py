"""How large a model is: parameters and multiply-accumulates, counted as the literature does."""

from __future__ import annotations

import math

import onnx


def parameters(model: onnx.ModelProto) -> int:
    """Floating-point weights; running statistics of batch normalisation and single numbers are not counted."""
    statistics = {name for node in model.graph.node if node.op_type == "BatchNormalization" for name in node.input[3:5]}
    return sum(
        math.prod(tensor.dims)
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.dims and tensor.name not in statistics
    )


def macs(model: onnx.ModelProto) -> int:
    """Multiply-accumulates of all convolutions and matrix products; `model` must carry its value types."""
    shapes: dict[str, list[int]] = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        shapes[value.name] = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    total = 0
    for node in model.graph.node:
        operands = [shapes[name] for name in node.input if name]
        result = shapes[node.output[0]]
        match node.op_type:
            case "Conv":
                total += math.prod(result) * math.prod(operands[1][1:])
            case "ConvTranspose":
                total += math.prod(operands[0]) * math.prod(operands[1][1:])
            case "MatMul" | "Gemm":
                transposed = any(a.name == "transA" and a.i for a in node.attribute)
                total += math.prod(result) * operands[0][-2 if transposed else -1]
    return total
