"""Does the compiled network compute what onnxruntime computes?

The plan is run, for real, and compared with onnxruntime on the user's own model. A host bundle runs as it is. A
phone's plan is rehearsed: the same units on the same processors in the same layouts, the CPU's part compiled for this
machine, the GPU's part with the phone's own OpenCL source.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from hetpart.errors import HetpartError, InternalError
from hetpart.graph.units import TensorType

TOLERANCE = 1e-4
"""Relative L2 error allowed for float32 outputs: about ten times what a deep network's reordered sums differ by."""

HALF_TOLERANCE = 2e-2
"""The same for models that compute in 16-bit floats, and where the CPU does (``--precision fp16``): a run of 128
products in float16 is off by up to 2e-3; what a deep network makes of that is averaged in logits (2e-3) and not in maps
(7e-3)."""

HALF_STORAGE_TOLERANCE = 5e-3
"""The same for plans that compute in float32 but store maps and weights in float16: a GPU's own (`storage` of a
target), or all of them (``--precision fp16``, products on the GPU alone).

Each rounding is half a unit in the last place, 4.9e-4, at most; the sums of a network average them.
"""


SPREAD = 1.5
"""How much further from the reference a quantised network may be than onnxruntime is from itself (see `spread`)."""

WIDEST_SPREAD = 0.2
"""What no spread excuses."""


@dataclass(frozen=True)
class Difference:
    """How far an output is from the reference.

    Attributes:
        rel_l2: ``|actual - expected| / |expected|``; of integers and booleans, the share of elements that differ.
        max_abs: largest absolute difference.
    """

    rel_l2: float
    max_abs: float


def random_inputs(
    types: Mapping[str, TensorType],
    seed: int = 0,
    *,
    integers: int | None = None,
    floats: tuple[float, float] | None = None,
) -> dict[str, np.ndarray]:
    """Standard normal floats; 8-bit integers of the whole range; other integers and booleans are 0 or 1.

    That is in range for indices, masks and token ids. With `integers` all integers are this one: 1 for models that
    divide by them, 0 for indices of a single thing. With `floats` all floats are drawn evenly from that range.
    """
    rng = np.random.default_rng(seed)
    inputs = {}
    for name, kind in types.items():
        dtype = np.dtype(kind.dtype)
        if dtype.kind == "f":
            drawn = rng.standard_normal(kind.shape) if floats is None else rng.uniform(*floats, kind.shape)
            inputs[name] = drawn.astype(dtype)
        elif integers is not None:
            inputs[name] = np.full(kind.shape, integers, dtype)
        elif dtype.itemsize == 1 and dtype.kind in "iu":
            limits = np.iinfo(dtype)
            inputs[name] = rng.integers(limits.min, limits.max, kind.shape, dtype, endpoint=True)
        else:
            inputs[name] = rng.integers(0, 2, kind.shape).astype(dtype)
    return inputs


def is_quantised(source: str | Path | onnx.ModelProto | ir.Model) -> bool:
    """Whether a model quantises what it computes, in QDQ or in QOperator form."""
    return not _QUANTISING.isdisjoint(_operators(source))


def in_operator_form(source: str | Path | onnx.ModelProto | ir.Model) -> bool:
    """Whether a model has operators that only integers go through (QLinearConv, com.microsoft's QLinearAdd, ...)."""
    return any(op_type.startswith(("QLinear", "QGemm")) for op_type in _operators(source))


def _operators(source: str | Path | onnx.ModelProto | ir.Model) -> set[str]:
    if isinstance(source, ir.Model):
        return {node.op_type for node in source.graph}
    if not isinstance(source, onnx.ModelProto):
        source = onnx.load(source, load_external_data=False)
    return {node.op_type for node in source.graph.node}


_QUANTISING = frozenset({"QuantizeLinear", "QLinearConv", "QLinearMatMul"})
"""Not DequantizeLinear: where only weights are quantised nothing is rounded on the way."""


def reference(
    source: str | Path | onnx.ModelProto | ir.Model,
    inputs: Mapping[str, np.ndarray],
    outputs: list[str] | None = None,
    *,
    integers: bool = True,
    exact: bool = False,
) -> dict[str, np.ndarray]:
    """What onnxruntime computes, without its optimisations that change rounding (see `hetpart.reference`).

    A quantised model is another matter: only those optimisations make integer operators of what its QDQ form means, so
    they are on, for int8 as well as uint8 activations, and with kernels whose sums do not saturate. Without `integers`
    the real numbers in between are computed as the model has them.

    With `exact` nothing is optimised at all: with infinite constants even scaling a weight changes what is computed.

    Raises:
        HetpartError: ``reference-failed`` if onnxruntime refuses the model or the inputs.
    """
    from hetpart.reference import evaluate, evaluate_in_integers

    if isinstance(source, ir.Model):
        # weights that lie in a file of their own are found from a model's file only
        source = ir.to_proto(ir.external_data.load_to_model(source.clone()))
    model = source if isinstance(source, onnx.ModelProto) else str(source)
    try:
        if integers and is_quantised(source):
            return evaluate_in_integers(model, inputs, outputs)
        return evaluate(model, inputs, outputs, optimise=not exact)
    except Exception as error:  # onnxruntime has no common base class for its errors
        raise HetpartError(
            "reference-failed",
            f"onnxruntime cannot run the model, so there is nothing to compare with: {error}",
            hint="hetpart compile --verify none does without a comparison",
        ) from error


def spread(
    source: str | Path | onnx.ModelProto | ir.Model,
    inputs: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """By how much two right results of a quantised model differ: onnxruntime's with integer operators and without.

    A real number on the edge of two integers may be rounded either way, and the layers behind it spread that. It is
    the measure for networks that are computed in integers only in part; where all is, nothing may differ.
    """
    real = reference(source, inputs, list(expected), integers=False)
    return {name: found.rel_l2 for name, found in compare(real, expected).items()}


def compare(actual: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> dict[str, Difference]:
    """The difference of every output."""
    return {name: difference(actual[name], expected[name]) for name in expected}


def difference(actual: np.ndarray, expected: np.ndarray) -> Difference:
    """The difference of one array; infinite where shapes differ or one has NaN and the other not.

    The lowest finite number counts as minus infinity: onnxruntime masks scores with the one, ONNX with the other. So
    does the highest as infinity, the bound of a Clip that has none.
    """
    if actual.shape != expected.shape:
        raise InternalError("output-shape", f"shape {actual.shape} instead of {expected.shape}")
    if expected.dtype.kind != "f":
        wrong = float(np.mean(actual != expected)) if expected.size else 0.0
        worst = np.abs(actual.astype(np.float64) - expected.astype(np.float64)).max(initial=0.0)
        return Difference(wrong, float(worst))
    highest = np.finfo(expected.dtype).max
    a, e = (
        np.where(np.abs(array) == highest, np.copysign(np.inf, array), array).astype(np.float64)
        for array in (actual, expected)
    )
    same = (a == e) | (np.isnan(a) & np.isnan(e))
    delta = np.subtract(a, e, out=np.zeros_like(a), where=~same)
    norm = float(np.linalg.norm(np.where(np.isfinite(e), e, 0.0)))
    error = float(np.linalg.norm(delta))
    if not math.isfinite(error):
        return Difference(math.inf, math.inf)
    return Difference(error / norm if norm else error, float(np.abs(delta).max(initial=0.0)))


def too_far(
    differences: Mapping[str, Difference],
    expected: Mapping[str, np.ndarray],
    spreads: Mapping[str, float] | None = None,
    storage: str = "float32",
) -> dict[str, float]:
    """The outputs that are further from the reference than is allowed, with what is allowed.

    That follows from an output's type, from the plan's `storage` and from `spreads` (see `spread`).
    """
    limits = {name: tolerance(expected[name].dtype, storage, (spreads or {}).get(name, 0.0)) for name in differences}
    return {name: limits[name] for name, found in differences.items() if not found.rel_l2 <= limits[name]}


def tolerance(dtype: np.dtype, storage: str = "float32", spread: float = 0.0) -> float:
    """What is allowed for an output of that type of a plan of that `storage` (see `hetpart.compiler.storage_of`)."""
    widened = min(SPREAD * spread, WIDEST_SPREAD)
    if dtype.kind != "f":
        return widened
    if dtype == np.float16:
        return max(widened, HALF_TOLERANCE)
    by_storage = {"float16": HALF_STORAGE_TOLERANCE, "float16-arithmetic": HALF_TOLERANCE}
    return max(widened, by_storage.get(storage, TOLERANCE))


def require_equal(
    differences: Mapping[str, Difference],
    expected: Mapping[str, np.ndarray],
    how: str,
    spreads: Mapping[str, float] | None = None,
    storage: str = "float32",
) -> None:
    """Raises InternalError ``wrong-result`` if an output is further from the reference than is allowed."""
    for name, limit in too_far(differences, expected, spreads, storage).items():
        raise InternalError(
            "wrong-result",
            f"output {name} differs from onnxruntime by {differences[name].rel_l2:.2e} "
            f"(relative L2; allowed {limit:.0e}; {how})",
            node=name,
            hint="no bundle was written; --verify segments names the first unit that differs",
        )
