"""Where a comparison with onnxruntime says nothing: results that ONNX does not define.

It does not say what MaxPool, ReduceMax, TopK or ArgMax make of a NaN, nor what a Cast makes of a number that an integer
type does not have. Engines differ there; onnxruntime's own kernels do, by the order in which they compare.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir

from hetpart.graph.units import TensorType
from hetpart.reference import evaluate
from hetpart.verify import random_inputs

_TAME = ((0.05, 0.95), (1.05, 2.0))
"""Ranges of floats in which logarithms, roots and the inverses of trigonometric functions are real."""


def tame_inputs(model: ir.Model, types: Mapping[str, TensorType]) -> dict[str, np.ndarray] | None:
    """Inputs on which everything that `model` computes is defined; None if none were found."""
    for low, high in _TAME:
        inputs = random_inputs(types, floats=(low, high))
        if first_undefined(model, inputs) is None:
            return inputs
    return None


def first_undefined(model: ir.Model, inputs: Mapping[str, np.ndarray]) -> tuple[str, str] | None:
    """The first node of `model` that makes something undefined of `inputs`, and a sentence that says what.

    A model that onnxruntime cannot run value by value is taken to be defined.
    """
    exposed = expose(model, [v.name for node in model.graph for v in node.outputs if v.name])
    try:
        values = dict(inputs) | evaluate(exposed, inputs)
    except Exception:  # onnxruntime has no common base class for its errors
        return None
    for node in model.graph:
        given = [values[v.name] for v in node.inputs if v is not None and v.name in values]
        made = [values[v.name] for v in node.outputs if v.name in values]
        if any(map(_has_nan, made)) and not any(map(_has_nan, given)):
            return node.name or "", f"{node.op_type} '{node.name}' makes NaN of the inputs that are compared"
        if node.op_type == "Cast" and given and made and _overflows(given[0], made[0].dtype):
            return node.name or "", f"Cast '{node.name}' is given numbers that {made[0].dtype} does not have"
    return None


def expose(model: ir.Model, values: list[str]) -> onnx.ModelProto:
    """`model` with further values as outputs; those whose types are not known are left out."""
    proto = ir.to_proto(model)
    known = {output.name for output in proto.graph.output}
    types = {info.name: info for info in proto.graph.value_info}
    proto.graph.output.extend(types[value] for value in values if value not in known and value in types)
    return proto


def _has_nan(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


def _overflows(array: np.ndarray, dtype: np.dtype) -> bool:
    if array.dtype.kind != "f" or dtype.kind not in "iu":
        return False
    limits = np.iinfo(dtype)
    whole = np.trunc(array.astype(np.float64))
    return not bool(((whole >= limits.min) & (whole <= limits.max)).all())
