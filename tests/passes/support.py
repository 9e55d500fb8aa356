"""Small models for the tests of passes, and running them."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnx import numpy_helper, parser

from hetpart.passes.base import Pass
from hetpart.passes.pipeline import run_pipeline
from hetpart.passes.printer import print_model
from tests.numerics import relative_error

OPSET = 20


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    """Float32 numbers around zero."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32)


def positive(*shape: int, seed: int = 0) -> np.ndarray:
    """Float32 numbers in [0.5, 2)."""
    return np.random.default_rng([seed, *shape]).uniform(0.5, 2, shape).astype(np.float32)


def parse(text: str, opset: int = OPSET, **constants: np.ndarray) -> ir.Model:
    """A model from ``(float[1,3,8,8] x) => (float[1,4,6,6] y) { c = Conv(x, w) ... }`` and its named constants.

    Types are inferred and nodes named, as the frontend would.
    """
    proto = parser.parse_model(f'<ir_version: 9, opset_import: ["" : {opset}, "custom" : 1]> test {text}')
    proto.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items())
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    for index, node in enumerate(proto.graph.node):
        node.name = f"{node.op_type}_{index}"
    proto = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    return ir.from_proto(proto)


def inputs(model: ir.Model, seed: int = 0) -> dict[str, np.ndarray]:
    """Random data for every graph input: normal floats, small integers."""
    random = np.random.default_rng(seed)
    feeds: dict[str, np.ndarray] = {}
    for value in model.graph.inputs:
        assert value.shape is not None
        assert value.dtype is not None
        shape, dtype = value.shape.numpy(), value.dtype.numpy()
        data = random.standard_normal(shape) if dtype.kind == "f" else random.integers(0, 2, shape)
        feeds[value.name or ""] = data.astype(dtype)
    return feeds


def evaluate(model: ir.Model | onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs by onnxruntime, its own optimisations off."""
    proto = ir.to_proto(model) if isinstance(model, ir.Model) else model
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(None, feeds)]


def apply(model: ir.Model, *passes: Pass, tolerance: float = 1e-6) -> str:
    """Run passes with verification, check that the outputs stay what they were, and print the result."""
    feeds = inputs(model)
    expected = evaluate(model, feeds)
    run_pipeline(model, passes, verify_each=True)
    for actual, reference in zip(evaluate(model, feeds), expected, strict=True):
        assert relative_error(actual, reference) <= tolerance
    return print_model(model)


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


__all__ = ["OPSET", "apply", "draw", "evaluate", "inputs", "operators", "parse", "positive"]
