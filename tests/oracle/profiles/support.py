"""Small imported models, and the verdict on their only node."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir

from hetpart.oracle import Verdict
from hetpart.oracle.profiles import convert, judge_operator, load_profile
from hetpart.targets import load_target

HEADER = '<ir_version: 10, opset_import: ["" : 20, "com.example" : 1]>\n'


def model_of(text: str, **constants: tuple[int, ...] | np.ndarray | np.generic) -> ir.Model:
    """The graph in ONNX text form, its values typed; `constants` are arrays, or shapes of float32 zeros."""
    model = onnx.parser.parse_model(HEADER + text)
    for name, value in constants.items():
        data = np.zeros(value, np.float32) if isinstance(value, tuple) else np.asarray(value)
        model.graph.initializer.append(onnx.numpy_helper.from_array(data, name))
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    return ir.from_proto(model)


def verdict(
    profile: str, text: str, *, target: str = "sd855", **constants: tuple[int, ...] | np.ndarray | np.generic
) -> Verdict:
    """On the first operator of the graph."""
    chosen = load_profile(profile)
    ops = convert(model_of(text, **constants), chosen.engine)
    return judge_operator(ops[0], chosen, load_target(target))
