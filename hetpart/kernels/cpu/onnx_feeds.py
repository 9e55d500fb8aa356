"""Seeded inputs on which a compiled operator is compared with onnxruntime.

Values must tell right from wrong: floats of both signs, integers from a small range (so that comparisons are sometimes
equal), indices within their axis, no zero divisors.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

SEED = 20240229

Range = tuple[int, int]
"""Half-open range of integers."""


def random_feeds(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """One array per graph input that has no initialiser, of its static shape and type."""
    initialisers = {tensor.name for tensor in model.graph.initializer}
    rng = np.random.default_rng(SEED)
    feeds = {}
    for value in model.graph.input:
        if value.name in initialisers:
            continue
        tensor = value.type.tensor_type
        shape = tuple(d.dim_value for d in tensor.shape.dim)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        feeds[value.name] = _draw(rng, shape, dtype, _integer_range(model, value.name, dtype))
    return feeds


def _draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype, integers: Range) -> np.ndarray:
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(np.bool_)
    if np.issubdtype(dtype, np.integer):
        return rng.integers(*integers, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def _integer_range(model: onnx.ModelProto, name: str, dtype: np.dtype) -> Range:
    """The widest range that all uses of input `name` as an index or divisor allow."""
    low, high = (0, 16) if np.issubdtype(dtype, np.unsignedinteger) else (-8, 8)
    shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in model.graph.input}
    shapes |= {t.name: tuple(t.dims) for t in model.graph.initializer}
    for node in model.graph.node:
        for (op, position), limit in _LIMITS.items():
            if op == node.op_type and position < len(node.input) and node.input[position] == name:
                low, high = limit(node, shapes.get(node.input[0], (1,)))
    return low, high


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), default)


def _axis_index(node: onnx.NodeProto, shape: tuple[int, ...]) -> Range:
    size = shape[_attribute(node, "axis", 0)]
    return -size, size


def _leading_index(node: onnx.NodeProto, shape: tuple[int, ...]) -> Range:
    first = _attribute(node, "batch_dims", 0)
    return 0, max(1, min(shape[first:], default=1))


def _divisor(node: onnx.NodeProto, shape: tuple[int, ...]) -> Range:
    return 1, 8


_LIMITS: dict[tuple[str, int], Callable[[onnx.NodeProto, tuple[int, ...]], Range]] = {
    ("Gather", 1): _axis_index,
    ("GatherElements", 1): _axis_index,
    ("GatherND", 1): _leading_index,
    ("ScatterElements", 1): _axis_index,
    ("ScatterND", 1): _leading_index,
    ("OneHot", 0): lambda node, shape: (0, 4),
    ("Div", 1): _divisor,
    ("Mod", 1): _divisor,
    ("BitShift", 1): lambda node, shape: (0, 4),
    ("Pow", 1): lambda node, shape: (0, 4),
}
"""(operator, input) -> range of the integers that it may hold, from the node and the shape of its first input."""
