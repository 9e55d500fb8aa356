"""Runs of blocks: every block is made as its pattern says, and repetition is found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked
from hetpart.graph.units import Picks
from hetpart.kernels.channels import check, moved, runs
from hetpart.kernels.spec import ChannelsSpec


def spec(channels: tuple[int, ...], picks: Picks, block: int = 4) -> ChannelsSpec:
    xs = tuple(Blocked(1, c, 3, 5, block) for c in channels)
    return ChannelsSpec(xs, Blocked(1, len(picks), 3, 5, block), picks)


def shuffle(groups: int, channels: int) -> Picks:
    """Of as many inputs as groups."""
    return tuple((group, channel) for channel in range(channels) for group in range(groups))


@st.composite
def moves(draw: st.DrawFn) -> ChannelsSpec:
    channels = draw(st.lists(st.integers(1, 40), min_size=1, max_size=3))
    one = st.integers(0, len(channels) - 1).flatmap(
        lambda i: st.tuples(st.just(i), st.integers(0, channels[i] - 1), st.integers(1, 24), st.integers(1, 2))
    )
    picks: list[tuple[int, int]] = []
    for number, first, count, step in draw(st.lists(one, min_size=1, max_size=4)):
        picks += [(number, channel) for channel in range(first, min(first + count * step, channels[number]), step)]
    return spec(tuple(channels), tuple(picks), draw(st.sampled_from([2, 4, 16])))


@given(moves())
def test_runs_say_where_each_channel_comes_from(move: ChannelsSpec) -> None:
    found, size = [], move.out.block
    for run in runs(move):
        assert run.first * size == len(found)
        for i in range(run.count):
            turn, number = divmod(i, len(run.patterns))
            found += moved(run.patterns[number], turn * run.advance)
    picks = [None if lane is None else (lane[0], lane[1] * move.xs[lane[0]].block + lane[2]) for lane in found]
    assert picks[: move.out.c] == list(move.picks)
    assert set(picks[move.out.c :]) <= {None}


@pytest.mark.parametrize("groups", [2, 4, 8])
def test_a_shuffle_is_one_run(groups: int) -> None:
    (run,) = runs(spec((64,) * groups, shuffle(groups, 64)))
    assert (run.count, run.advance) == (16 * groups, 1)
    assert len(run.patterns) == groups


def test_a_stretch_is_one_run_and_its_tail() -> None:
    whole, tail = runs(spec((58,), tuple((0, c) for c in range(8, 58))))
    assert (whole.count, whole.advance, len(whole.patterns)) == (12, 1, 1)
    assert (tail.first, tail.count) == (12, 1)


def test_what_does_not_fit_is_refused() -> None:
    good = spec((8, 8), shuffle(2, 8))
    check(good)
    for bad in (
        spec((8,), ((0, 8),)),
        spec((8,), ((1, 0),)),
        ChannelsSpec(good.xs, good.out, good.picks[:-1]),
        ChannelsSpec((Blocked(1, 8, 3, 4, 4), good.xs[1]), good.out, good.picks),
        ChannelsSpec((Blocked(1, 8, 3, 5, 4, dtype="int8"), good.xs[1]), good.out, good.picks),
    ):
        with pytest.raises(InternalError):
            check(bad)
