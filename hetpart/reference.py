"""What an ONNX model computes, according to others: onnxruntime, or ONNX's own definition where that has no kernel.

Only for comparison: no value that hetpart delivers is computed here.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator

_REFUSALS = onnxruntime.capi.onnxruntime_pybind11_state
_CANNOT = (_REFUSALS.NotImplemented, _REFUSALS.InvalidGraph, _REFUSALS.Fail)
"""onnxruntime's ways to say that it has no kernel for a type or an operator; it has no common base for its errors."""


def evaluate(
    model: onnx.ModelProto | bytes | str,
    inputs: Mapping[str, np.ndarray],
    outputs: Sequence[str] | None = None,
    *,
    optimise: bool = False,
) -> dict[str, np.ndarray]:
    """The outputs of `model` (a message, its bytes, or a file) by name.

    Args:
        model: what to run.
        inputs: arrays by name.
        outputs: which; all if None.
        optimise: let onnxruntime fold and merge nodes where that does not change rounding.

    Raises:
        Exception: whatever onnxruntime raises, if neither it nor ONNX's reference evaluator can run the model.
    """
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_BASIC if optimise else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads = 0 if optimise else 1
    options.log_severity_level = 4
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    try:
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except _CANNOT as error:
        try:
            return _by_definition(model, inputs, outputs)
        except Exception:  # the evaluator raises whatever its numpy code runs into
            raise error from None
    # what fails only when it runs (a division of integers by zero) would fail in a kernel too
    names = list(outputs or [o.name for o in session.get_outputs()])
    return dict(zip(names, map(np.asarray, session.run(names, dict(inputs))), strict=True))


def _by_definition(
    model: onnx.ModelProto | bytes | str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str] | None
) -> dict[str, np.ndarray]:
    if isinstance(model, bytes):
        model = onnx.load_from_string(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # infinities and NaN are results like others
        evaluator = ReferenceEvaluator(model)
        names = list(outputs or evaluator.output_names)
        return dict(zip(names, map(np.asarray, evaluator.run(names, dict(inputs))), strict=True))
