"""Concatenation and transposition: exact copies of any element type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hetpart.errors import HetpartError, InternalError
from hetpart.graph.layout import Plain, Strided
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import concat, transpose
from hetpart.kernels.opencl.elements import element_type
from hetpart.kernels.spec import ConcatSpec, TransposeSpec


@pytest.mark.parametrize(("axis", "dtype"), [(0, "int64"), (1, "float32"), (2, "float32"), (2, "bool")])
def test_concat(rig: Any, rng: np.random.Generator, style: tuple[Device, int], axis: int, dtype: str) -> None:
    device, _ = style
    arrays = []
    for extent in (3, 1, 40):
        shape = [4, 5, 6]
        shape[axis] = extent
        arrays.append(rng.integers(0, 100, shape).astype(dtype))
    wanted = np.concatenate(arrays, axis)
    spec = ConcatSpec(tuple(Plain(a.shape, dtype) for a in arrays), Plain(wanted.shape, dtype), axis)
    assert np.array_equal(rig.run(spec, device, arrays), wanted)


@pytest.mark.parametrize("dtype", ["int32", "int64", "bool", "float16"])
def test_transpose_types(rig: Any, rng: np.random.Generator, dtype: str) -> None:
    device = Device(True, 32, (1, 1, 1))
    x = rng.integers(0, 100, (5, 40)).astype(dtype)
    spec = TransposeSpec(Plain(x.shape, dtype), Plain((40, 5), dtype), (1, 0))
    assert np.array_equal(rig.run(spec, device, [x]), x.T)


@pytest.mark.parametrize("perm", [(0, 1, 2), (1, 0, 2), (0, 2, 1), (2, 1, 0), (0, 2, 3, 1), (3, 0, 1, 2)], ids=str)
def test_transpose(rig: Any, rng: np.random.Generator, style: tuple[Device, int], perm: tuple[int, ...]) -> None:
    device, _ = style
    x = rng.standard_normal((1, 3, 4, 5)[-len(perm) :]).astype(np.float32)
    wanted = x.transpose(perm)
    spec = TransposeSpec(Plain(x.shape), Plain(wanted.shape), perm)
    assert np.array_equal(rig.run(spec, device, [x]), wanted)


def test_transpose_reads_a_view(rig: Any, rng: np.random.Generator, style: tuple[Device, int]) -> None:
    view = Strided((3, 5, 4), "float32", 3 * 5 * 8, 4, (40, 8, 1))
    x = rng.standard_normal(view.shape).astype(np.float32)
    found = rig.run(TransposeSpec(view, Plain((5, 4, 3)), (1, 2, 0)), style[0], [x])
    assert np.array_equal(found, x.transpose(1, 2, 0))


def test_impossible_moves_are_refused() -> None:
    device = Device(False, 24, (8, 4, 2))
    with pytest.raises(InternalError):
        concat.source(ConcatSpec((Plain((2, 3)),), Plain((2, 4)), 1), device, "concat")
    with pytest.raises(InternalError):
        transpose.source(TransposeSpec(Plain((2, 3)), Plain((2, 3)), (1, 0)), device, "transpose")
    with pytest.raises(HetpartError, match="complex128"):
        element_type("complex128")
