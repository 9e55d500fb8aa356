"""Launches in parts."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from hetpart.codegen.opencl import in_parts
from hetpart.plan.invocation import Invocation

SIZES = st.tuples(*[st.integers(1, 6)] * 3)


@given(groups=SIZES, local=SIZES, count=st.integers(1, 9))
def test_parts_cover_every_work_item_once(
    groups: tuple[int, int, int], local: tuple[int, int, int], count: int
) -> None:
    size = tuple(g * s for g, s in zip(groups, local, strict=True))
    whole = Invocation("k", (), (), global_size=(size[0], size[1], size[2]), local_size=local)
    parts = in_parts(whole, count)
    assert len(parts) == min(count, max(groups))
    items = [
        item
        for part in parts
        for item in product(*(range(o, o + n) for o, n in zip(part.offset, part.global_size, strict=True)))
    ]
    assert sorted(items) == list(product(*map(range, size)))
    assert all(n % s == 0 for part in parts for n, s in zip(part.global_size, local, strict=True))
