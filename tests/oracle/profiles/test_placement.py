"""Which of the supported operators an engine hands over, by its published rule."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hetpart.oracle.profiles import Profile, accelerated, convert, load_profile
from hetpart.oracle.profiles.convert import EngineOp
from hetpart.oracle.profiles.placement import producers
from tests.oracle.profiles.support import model_of

FOLLOW, WHOLE, LARGEST = (load_profile(name) for name in ("mace-gpu", "mace-dsp", "tflite-gpu"))


def ops_of(text: str, profile: Profile = FOLLOW, **constants: tuple[int, ...]) -> list[EngineOp]:
    return convert(model_of(text, **constants), profile.engine)


CHAIN = """g (float[1,8,9,9] x) => (y) {
    a = Tanh(x)
    b = Conv(a, w)
    c = Tanh(b)
    d = Neg(c)
    e = Sqrt(d)
    y = Conv(e, w)
}"""


def test_others_follow_the_operators_that_compute_much() -> None:
    ops = ops_of(CHAIN, w=(8, 8, 1, 1))
    assert [len(op.nodes) for op in ops] == [1, 2, 1, 1, 1]  # Tanh, Conv+Tanh, Neg, Sqrt, Conv
    assert accelerated(ops, [True] * 5, FOLLOW) == [False, True, True, True, True]
    assert accelerated(ops, [True, True, False, True, True], FOLLOW) == [False, True, False, False, True]


def test_all_or_nothing() -> None:
    ops = ops_of(CHAIN, w=(8, 8, 1, 1))
    assert accelerated(ops, [True] * 5, WHOLE) == [True] * 5
    assert accelerated(ops, [True] * 4 + [False], WHOLE) == [False] * 5


def test_only_the_largest_partitions_are_handed_over() -> None:
    ops = ops_of(CHAIN, LARGEST, w=(8, 8, 1, 1))
    assert len(ops) == 6
    supported = [True, False, True, True, False, True]
    assert accelerated(ops, supported, LARGEST) == [False, False, True, True, False, False]
    assert accelerated(ops, supported, replace(LARGEST, partitions=2)).count(True) == 3
    assert accelerated(ops, supported, replace(LARGEST, partitions=0)) == supported


def test_a_partition_reaches_over_branches() -> None:
    text = """g (float[1,8,9,9] x) => (y) {
        a = Tanh(x)
        b = Exp(x)
        c = Neg(a)
        y = Add(b, c)
    }"""
    ops = ops_of(text, LARGEST)
    assert accelerated(ops, [True, False, True, False], LARGEST) == [True, False, True, False]
    assert accelerated(ops, [False, True, False, True], LARGEST) == [False, True, False, True]
    assert accelerated(ops, [True, False, False, True], LARGEST) == [True, False, False, False]


@st.composite
def branched(draw: st.DrawFn) -> tuple[list[EngineOp], list[bool]]:
    count = draw(st.integers(1, 12))
    lines = []
    for index in range(count):
        names = ["x", *(f"v{before}" for before in range(index))]
        left, right = draw(st.sampled_from(names)), draw(st.sampled_from(names))
        lines.append(f"v{index} = Max({left}, {right})")
    outputs = ", ".join(f"v{index}" for index in range(count))
    ops = ops_of(f"g (float[1,4,2,2] x) => ({outputs}) {{ {' '.join(lines)} }}", LARGEST)
    return ops, draw(st.lists(st.booleans(), min_size=count, max_size=count))


@given(branched())
def test_only_supported_operators_are_handed_over(case: tuple[list[EngineOp], list[bool]]) -> None:
    ops, supported = case
    for profile in (FOLLOW, WHOLE, LARGEST, replace(LARGEST, partitions=0)):
        there = accelerated(ops, supported, profile)
        assert all(can or not is_there for can, is_there in zip(supported, there, strict=True))
    assert accelerated(ops, supported, replace(LARGEST, partitions=0)) == supported


@given(branched())
def test_the_largest_partition_can_run_in_one_go(case: tuple[list[EngineOp], list[bool]]) -> None:
    """No path leaves it and comes back."""
    ops, supported = case
    there = accelerated(ops, supported, LARGEST)
    before = producers(ops)
    behind: set[int] = set()  # what is outside and needs something inside, directly or not
    for index in range(len(ops)):
        if there[index]:
            assert not before[index] & behind
        elif any(there[i] or i in behind for i in before[index]):
            behind.add(index)
