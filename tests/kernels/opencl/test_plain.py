"""Walks over row-major tensors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetpart.errors import InternalError
from hetpart.kernels.opencl.plain import Strided
from hetpart.kernels.strides import broadcast_strides, row_major_strides


@given(st.lists(st.tuples(st.sampled_from([1, 2, 3, 5]), st.booleans()), max_size=4))
def test_offsets_are_those_of_numpy(axes: list[tuple[int, bool]]) -> None:
    out = tuple(extent for extent, _ in axes)
    shape = tuple(extent if kept else 1 for extent, kept in axes)
    walk = Strided.of(out, broadcast_strides(shape, out))
    text = walk.offset("n").replace("/", "//")
    wanted = np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), out).reshape(-1)
    assert [eval(text, {"n": n}) for n in range(math.prod(out))] == wanted.tolist()


def test_contiguous_axes_merge() -> None:
    assert Strided.of((4, 5, 6), row_major_strides((4, 5, 6))) == Strided((120,), (1,))
    assert Strided.of((2, 3, 4), (12, 0, 1)).offset("n") == "n / 12 * 12 + n % 4"


def test_wrong_broadcast_is_refused() -> None:
    with pytest.raises(InternalError):
        broadcast_strides((2, 3), (3, 2))
    with pytest.raises(InternalError):
        broadcast_strides((1, 2, 3), (2, 3))
