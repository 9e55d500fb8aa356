"""The nine ``light_*`` models of the onnx package (opset 9, IR 3) with random weights in place of constant ones.

As shipped, their weights are ConstantOfShape(0.02), which makes the outputs uniform and hides errors. Here every such
weight is an initialiser drawn by its role, and a closing Softmax is cut off: the outputs are logits with spread.
"""

from __future__ import annotations

import math
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

_LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def light_models() -> dict[str, onnx.ModelProto]:
    """All nine, by file name without suffix (``light_resnet50``). 1.3 GB in total: prefer `light_model`."""
    return {name: light_model(name) for name in light_names()}


@cache
def light_names() -> tuple[str, ...]:
    return tuple(path.stem for path in sorted(_LIGHT.glob("light_*.onnx")))


def light_model(name: str) -> onnx.ModelProto:
    """One of them; equal bytes on every call."""
    model = onnx.load(_LIGHT / f"{name}.onnx")
    random = np.random.default_rng(zlib.crc32(name.encode()))
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    replaced = [node for node in model.graph.node if node.op_type == "ConstantOfShape"]
    for node in replaced:
        weight = _draw(random, model.graph, node.output[0], tuple(shapes[node.input[0]]))
        model.graph.initializer.append(numpy_helper.from_array(weight, node.output[0]))
        model.graph.input.append(helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, weight.shape))
        model.graph.node.remove(node)
    used = {value for node in model.graph.node for value in node.input}
    for values in (model.graph.initializer, model.graph.input):
        for unused in [value for value in values if value.name not in used]:
            values.remove(unused)
    _expose_logits(model.graph)
    return model


def _draw(random: np.random.Generator, graph: onnx.GraphProto, weight: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values for `weight` that suit the operator that reads it (some are reshaped first)."""
    node, slot = _reader(graph, weight)
    while node.op_type in ("Unsqueeze", "Reshape"):
        node, slot = _reader(graph, node.output[0])

    def normal(std: float) -> np.ndarray:
        return random.standard_normal(shape, dtype=np.float32) * np.float32(std)

    def around_one(scale: float = 1.0) -> np.ndarray:
        return (scale * random.uniform(0.7, 1.3, shape)).astype(np.float32)

    match node.op_type, slot:
        case "Conv", 1:
            return normal(math.sqrt(2 / math.prod(shape[1:])))
        case "Gemm", 1:
            transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
            return normal(math.sqrt(2 / shape[1 if transposed else 0]))
        case "BatchNormalization", 1:
            into_sum = any(node.output[0] in reader.input for reader in graph.node if reader.op_type == "Sum")
            return around_one(0.7 if into_sum else 1.0)  # keeps the sum of many residual branches in range
        case ("BatchNormalization", 4) | ("Mul", _):
            return around_one()
        case ("Conv" | "Gemm", 2) | ("BatchNormalization", 2 | 3) | ("Add", _):
            return normal(0.1)
    raise NotImplementedError(f"{weight} is input {slot} of {node.op_type}")


def _reader(graph: onnx.GraphProto, value: str) -> tuple[onnx.NodeProto, int]:
    return next((node, list(node.input).index(value)) for node in graph.node if value in node.input)


def _expose_logits(graph: onnx.GraphProto) -> None:
    last = graph.node[-1]
    if last.op_type == "Softmax":
        graph.output[0].name = last.input[0]
        graph.node.remove(last)
