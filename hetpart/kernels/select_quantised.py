"""Which kernels quantised units become: the part of hetpart.kernels.select for the kinds with a q.

Multipliers are what onnxruntime computes for its QLinear operators: input scale times weight scale, over output scale,
each step rounded to float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from hetpart.errors import InternalError
from hetpart.graph.halo import window
from hetpart.graph.quantised import Quantised, Scheme, Weights
from hetpart.kernels.call import Context
from hetpart.kernels.spec import QConvSpec, QDenseSpec, QEltwiseSpec, QPoolSpec, Rounding, Spec

_Part = TypeVar("_Part", Scheme, Weights, Rounding)


def quantised_spec(at: Context) -> tuple[Spec, dict[str, np.ndarray]]:
    """The spec of a quantised unit, and its constants."""
    if at.unit.quantised is None:
        raise InternalError("not-quantised", f"a {at.unit.kind} unit without schemes", node=at.unit.name)
    return _SPECS[at.unit.kind](at, at.unit.quantised)


def _convolution(at: Context, quantised: Quantised) -> tuple[Spec, dict[str, np.ndarray]]:
    weights = _required(quantised.weights)
    w = _integers(at, weights, 0)
    kernel = int(w.shape[2]), int(w.shape[3])
    geometry = window(at.node, kernel)
    spec = QConvSpec(
        at.blocked(at.unit.inputs[0]), at.blocked(at.output), kernel, geometry.strides, geometry.dilations,
        geometry.pads, at.node.attributes.get_int("group", 1), _rounding(quantised),
    )  # fmt: skip
    return spec, _constants(quantised, weights, w)


def _dense(at: Context, quantised: Quantised) -> tuple[Spec, dict[str, np.ndarray]]:
    x, weights = at.plain(at.unit.inputs[0]), _required(quantised.weights)
    w = _integers(at, weights, 1)
    k, n = w.shape
    spec = QDenseSpec(x, at.plain(at.output), math.prod(x.shape) // k, k, n, _rounding(quantised))
    return spec, _constants(quantised, weights, w)


def _pool(at: Context, quantised: Quantised) -> tuple[Spec, dict[str, np.ndarray]]:
    x, out, node = at.blocked(at.unit.inputs[0]), at.blocked(at.output), at.node
    mode = {"GlobalMaxPool": "max", "GlobalAveragePool": "sum", "AveragePool": "average"}[node.op_type]
    shape = node.attributes.get_ints("kernel_shape", ())
    kernel = (int(shape[0]), int(shape[1])) if mode == "average" else (x.h, x.w)
    geometry = window(node, kernel)
    source, output = _required(quantised.inputs[0]), _required(quantised.output)
    spec = QPoolSpec(
        x, out, mode, kernel, geometry.strides, geometry.dilations, geometry.pads,
        bool(node.attributes.get_int("count_include_pad", 0)), source.zero_point,
        (source.scale, output.scale), _required(_rounding(quantised)),
    )  # fmt: skip
    return spec, {}


def _eltwise(at: Context, quantised: Quantised) -> tuple[Spec, dict[str, np.ndarray]]:
    layouts, _ = at.operands()
    schemes = tuple(None if s is None else (s.scale, s.zero_point) for s in quantised.inputs)
    scale = 1.0 if quantised.output is None else quantised.output.scale
    x = at.layout(at.unit.inputs[0])
    return QEltwiseSpec(x, at.out, at.unit.steps, layouts, schemes, scale, _rounding(quantised)), {}


_SPECS: Mapping[str, Callable[[Context, Quantised], tuple[Spec, dict[str, np.ndarray]]]] = {
    "qconv": _convolution,
    "qdense": _dense,
    "qeltwise": _eltwise,
    "qpool": _pool,
}


def _rounding(quantised: Quantised) -> Rounding | None:
    if quantised.output is None:
        return None
    return Rounding(quantised.output.zero_point, quantised.low, quantised.high)


def _integers(at: Context, weights: Weights, axis: int) -> np.ndarray:
    """Stored weights less their zero points, as int8; output channels lie along `axis`."""
    stored = at.assignment.graph.constant(weights.value)
    if stored.dtype == np.int8 and not weights.zero_point.any():
        return stored
    zero = weights.zero_point
    if zero.size > 1:
        zero = zero.reshape([-1 if i == axis else 1 for i in range(stored.ndim)])
    centred: np.ndarray = (stored.astype(np.int16) - zero).astype(np.int8)
    return centred


def _constants(quantised: Quantised, weights: Weights, w: np.ndarray) -> dict[str, np.ndarray]:
    source = _required(quantised.inputs[0])
    scale = np.float32(source.scale) * weights.scale
    if quantised.output is not None:
        scale = scale / np.float32(quantised.output.scale)
    return {"w": w, "b": weights.bias, "scale": scale, "zero_point": np.array(source.zero_point)}


def _required(part: _Part | None) -> _Part:
    if part is None:
        raise InternalError("not-quantised", "a quantised unit lacks a scheme or weights")
    return part
