"""Rules that hold on every processor for which hetpart emits kernels."""

from __future__ import annotations

import math

from hetpart.oracle.verdict import Rule, Subject

_INDEX_LIMIT = 2**31 - 1


def _empty_tensor(at: Subject) -> str | None:
    for value, kind in at.tensors():
        if 0 in kind.shape:
            return f"{value} has no elements (shape {list(kind.shape)})"
    return None


def _too_many_elements(at: Subject) -> str | None:
    for value, kind in at.tensors():
        if math.prod(kind.shape) > _INDEX_LIMIT:
            return f"{value} has {math.prod(kind.shape)} elements; kernels index with 32 bits"
    return None


_QUANTISED_TOO = frozenset({"concat", "pool", "qconv", "qdense", "qeltwise", "qpool", "repack"})
"""Kinds whose CPU kernels take int8 and uint8 as well."""


def _not_float32(at: Subject) -> str | None:
    if at.unit.kind in ("other", "transpose"):
        return None
    allowed = ("float32", "int8", "uint8") if at.unit.kind in _QUANTISED_TOO else ("float32",)
    for value, kind in at.tensors():
        if kind.dtype not in allowed:
            return f"{value} is {kind.dtype}; hetpart's {at.unit.kind} kernels compute in {' or '.join(allowed)}"
    return None


SIZES = (
    Rule("empty-tensor", "unsupported", _empty_tensor, "remove the branch that makes it", "an empty launch fails"),
    Rule("too-large", "unsupported", _too_many_elements, "use a smaller batch or image", "kernels use int32 indices"),
)

FLOAT32_ONLY = Rule(
    "dtype", "unsupported", _not_float32, "export the model in float32", "hetpart.kernels.spec: float32 layouts"
)
