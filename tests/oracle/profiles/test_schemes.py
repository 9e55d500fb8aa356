"""The six schemes on a residual block that can be counted by hand."""

from __future__ import annotations

import pytest

from hetpart.oracle.profiles.schemes import SCHEMES, Count, count
from hetpart.targets import load_target
from tests.oracle.profiles.support import model_of

TARGET = load_target("sd855")
BLOCK = """g (float[1,8,8,8] x) => (y) {
    a = Conv(x, w)
    b = Relu(a)
    c = Conv(b, w)
    s = Add(c, x)
    r = Relu(s)
    p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)
    y = Conv(p, w)
}"""
# operators of MACE: Conv+Relu, Conv, Add, Relu, MaxPool, Conv


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("CPU", Count(6, 0, 0)),
        ("GPU, image", Count(6, 0, 0)),
        ("GPU, buffer", Count(6, 2, 0)),  # Add, Relu
        ("muLayer, buffer", Count(6, 2, 4)),  # after each of the divided: three convolutions and the pool
        ("CoDL, buffer", Count(6, 2, 2)),  # c for the addition, y for the application
        ("CoDL, image", Count(6, 2, 4)),  # and at the begin of the two chains: x, r
    ],
)
def test_counted_by_hand(scheme: str, expected: Count) -> None:
    (chosen,) = (s for s in SCHEMES if s.name == scheme)
    assert count(model_of(BLOCK, w=(8, 8, 1, 1)), chosen, TARGET) == expected


def test_shares() -> None:
    counted = Count(operators=6, unsupported=2, added=4)
    assert counted.own_share == pytest.approx(2 / 6)
    assert counted.share == pytest.approx(6 / 10)


def test_a_map_is_handed_over_once_however_many_read_it() -> None:
    text = "g (float[1,8,8,8] x) => (y, z) { a = Conv(x, w) y = Neg(a) z = Abs(a) }"
    codl = next(s for s in SCHEMES if s.name == "CoDL, buffer")
    assert count(model_of(text, w=(8, 8, 1, 1)), codl, TARGET) == Count(3, 2, 1)
