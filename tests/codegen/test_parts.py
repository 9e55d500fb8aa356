"""Launches in parts: together they are the whole, and each is within the target's bound."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from hetpart.codegen.parts import ROUNDED_UP_US, cut, in_parts
from hetpart.plan.invocation import Invocation
from hetpart.targets import load_target
from hetpart.targets.schema import OpenclCodegen, Processor

SIZES = st.tuples(*[st.integers(1, 6)] * 3)


def launch(groups: tuple[int, int, int], local: tuple[int, int, int], kernel: str = "k") -> Invocation:
    x, y, z = (g * s for g, s in zip(groups, local, strict=True))
    return Invocation(kernel, (), (), global_size=(x, y, z), local_size=local)


def gpu(bound_us: int) -> Processor:
    processor = load_target("sd855").processor("gpu")
    assert isinstance(processor.codegen, OpenclCodegen)
    return replace(processor, codegen=replace(processor.codegen, max_kernel_us=bound_us))


@given(groups=SIZES, local=SIZES, most=st.integers(0, 250))
def test_parts_cover_every_work_item_once(groups: tuple[int, int, int], local: tuple[int, int, int], most: int) -> None:
    whole = launch(groups, local)
    parts = in_parts(whole, most)
    items = [
        item
        for part in parts
        for item in product(*(range(o, o + n) for o, n in zip(part.offset, part.global_size, strict=True)))
    ]
    assert sorted(items) == list(product(*map(range, whole.global_size)))
    assert all(n % s == 0 for part in parts for n, s in zip(part.global_size, local, strict=True))
    assert all(math.prod(part.global_size) <= max(1, most) * math.prod(local) for part in parts)


@given(shapes=st.lists(st.tuples(SIZES, SIZES), min_size=1, max_size=3), bound_us=st.integers(1, 90),
       busy_us=st.integers(1, 500))  # fmt: skip
def test_parts_are_within_the_bound_or_named(
    shapes: list[tuple[tuple[int, int, int], tuple[int, int, int]]], bound_us: int, busy_us: int
) -> None:
    processor = gpu(bound_us)
    assert processor.cost is not None
    calls = [launch(*shape, kernel=str(index)) for index, shape in enumerate(shapes)]
    launches_us = processor.cost.launch_us * math.ceil(busy_us / bound_us)
    found = cut(calls, processor, busy_us + launches_us + ROUNDED_UP_US)
    item_us = busy_us / sum(math.prod(call.global_size) for call in calls)
    longest = max(math.prod(part.global_size) for part in found.calls) * item_us
    if found.over_us:
        assert math.isclose(found.over_us, longest)
        assert longest > bound_us
    else:
        assert longest <= bound_us * (1 + 1e-9)
    order = [part.kernel for part in found.calls]
    assert order == sorted(order)
    if busy_us <= bound_us:
        assert found.calls == calls


def test_no_bound_and_no_gpu_cut_nothing() -> None:
    calls = [launch((50, 50, 50), (4, 4, 4))]
    assert cut(calls, gpu(0), 1e6).calls == calls
    assert cut(calls, load_target("sd855").processor("cpu"), 1e6).calls == calls
