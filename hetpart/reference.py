"""What an ONNX model computes, according to others: onnxruntime, or ONNX's own definition where that has no kernel.

Only for comparison: no value that hetpart delivers is computed here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator

_REFUSALS = onnxruntime.capi.onnxruntime_pybind11_state
_CANNOT = (_REFUSALS.NotImplemented, _REFUSALS.InvalidGraph, _REFUSALS.Fail)
"""onnxruntime's ways to say that it has no kernel for a type or an operator; it has no common base for its errors."""


Run = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]
"""Inputs by name -> outputs by name."""


def evaluate(
    model: onnx.ModelProto | bytes | str,
    inputs: Mapping[str, np.ndarray],
    outputs: Sequence[str] | None = None,
    *,
    optimise: bool = False,
) -> dict[str, np.ndarray]:
    """The outputs of `model` for one set of `inputs`, by name; the rest as for `prepare`."""
    return prepare(model, outputs, optimise=optimise)(inputs)


def prepare(
    model: onnx.ModelProto | bytes | str,
    outputs: Sequence[str] | None = None,
    *,
    optimise: bool = False,
    fast: bool = False,
) -> Run:
    """A function that runs `model` as often as it is called.

    Args:
        model: what to run: a message, its bytes, or a file.
        outputs: which; all if None.
        optimise: let onnxruntime fold and merge nodes where that does not change rounding.
        fast: let it do all that it can, on all cores.

    Raises:
        Exception: whatever onnxruntime raises, if neither it nor ONNX's reference evaluator can run the model; the
            function raises too.
    """
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_BASIC if optimise else levels.ORT_DISABLE_ALL
    if fast:
        options.graph_optimization_level = levels.ORT_ENABLE_ALL
    options.intra_op_num_threads = 0 if optimise or fast else 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others need the cores too
    options.log_severity_level = 4
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    try:
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except _CANNOT as error:
        return partial(_by_definition, model, outputs, error)
    # what fails only when it runs (a division of integers by zero) would fail in a kernel too
    names = list(outputs or [o.name for o in session.get_outputs()])
    return lambda inputs: dict(zip(names, map(np.asarray, session.run(names, dict(inputs))), strict=True))


def _by_definition(
    model: onnx.ModelProto | bytes | str,
    outputs: Sequence[str] | None,
    refusal: Exception,
    inputs: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """By ONNX's evaluator, which raises whatever its numpy code runs into: then `refusal` says more."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # infinities and NaN are results like others
            evaluator = ReferenceEvaluator(onnx.load_from_string(model) if isinstance(model, bytes) else model)
            names = list(outputs or evaluator.output_names)
            return dict(zip(names, map(np.asarray, evaluator.run(names, dict(inputs))), strict=True))
    except Exception:
        raise refusal from None


def evaluate_in_integers(
    model: onnx.ModelProto | str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """As `evaluate`, of a quantised model, by onnxruntime's integer operators.

    Only its optimisations make such operators of the QDQ form: they are on, for int8 as well as uint8 activations, and
    with kernels whose sums do not saturate where the processor's fastest do.
    """
    try:
        try:
            session = _integer_session(model, precise=_saturates())
        except Exception:  # the precise kernels are not there for all models: int8 activations, shared zero points
            session = _integer_session(model, precise=False)
    except _CANNOT:
        return evaluate(model, inputs, outputs, optimise=True)
    names = list(outputs or [o.name for o in session.get_outputs()])
    return dict(zip(names, map(np.asarray, session.run(names, dict(inputs))), strict=True))


def _integer_session(model: onnx.ModelProto | str, *, precise: bool) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4 if precise else 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    # products with quantised weights alone are in float32
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    if precise:
        options.add_session_config_entry("session.x64quantprecision", "1")
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _saturates(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this is an x86 processor without dot products of bytes: onnxruntime then adds them in 16 bits."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = next((set(line.split()) for line in text.splitlines() if line.startswith("flags")), set())
    return bool(flags) and not flags & {"avx512_vnni", "avx_vnni"}
