"""Measured choices: the search, the table, and what compiling makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hetpart.codegen.tune import GAIN, tune
from hetpart.errors import HetpartError
from hetpart.graph.layout import Blocked, Halo
from hetpart.kernels.cpu import conv, conv_choice, tuned
from hetpart.kernels.cpu.build import host_isa
from hetpart.kernels.cpu.conv_choice import choose, decode, encode, estimate, measured_tag, shape_key
from hetpart.kernels.cpu.conv_plan import Direct
from hetpart.kernels.cpu.winograd_plan import Winograd
from hetpart.kernels.spec import ConvSpec

ISA = host_isa()
BLOCK = ISA.lanes
SPEC = ConvSpec(Blocked(1, 32, 12, 12, BLOCK, Halo(1, 1, 1, 1)), Blocked(1, 64, 12, 12, BLOCK), (3, 3), pads=(1,) * 4)
FLAT = ConvSpec(Blocked(1, 32, 12, 12, BLOCK), Blocked(1, 64, 12, 12, BLOCK), (1, 1))


@pytest.fixture(autouse=True)
def _own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tuned.forget()


@pytest.mark.parametrize("spec", [SPEC, FLAT], ids=["3x3", "1x1"])
def test_the_search_finds_a_choice_that_is_no_slower(spec: ConvSpec) -> None:
    found = tune(spec, ISA, rounds=3)
    assert found.choice == estimate(spec, ISA) or found.time_us <= GAIN * found.estimated_us
    assert decode(encode(found.choice)) == found.choice


def test_compiling_takes_the_measured_choice() -> None:
    assert choose(SPEC, ISA) == estimate(SPEC, ISA)
    assert measured_tag(SPEC, ISA) == ""
    for choice in (Winograd((2, 2), 2, 1), conv_choice.conv_plan.estimate(SPEC, ISA)):
        tuned.record({shape_key(SPEC): encode(choice)}, ISA)
        assert choose(SPEC, ISA) == choice
        assert measured_tag(SPEC, ISA) != ""
    assert choose(FLAT, ISA) == estimate(FLAT, ISA)
    assert isinstance(choose(SPEC, ISA), Direct)


def test_later_entries_join_earlier_ones() -> None:
    tuned.record({shape_key(SPEC): encode(Winograd((2, 2), 1, 1))}, ISA)
    path = tuned.record({shape_key(FLAT): encode(estimate(FLAT, ISA))}, ISA)
    assert choose(SPEC, ISA) == Winograd((2, 2), 1, 1)
    assert len(path.read_text().splitlines()) == 4


@pytest.mark.parametrize(
    "entry",
    [["winograd", 3, 3, 1, 1], ["winograd", 4, 4, 1, 3], ["direct", 0, 1, 1, False, 1, 1, 0], ["fft"], [], ["direct"]],
)
def test_an_impossible_choice_is_refused(entry: list[object]) -> None:
    tuned.record({shape_key(SPEC): entry}, ISA)
    with pytest.raises(HetpartError, match="no way to compute") as caught:
        conv.extent(SPEC, ISA)
    assert caught.value.code == "bad-table"
    assert caught.value.hint
    assert str(tuned.user_file(ISA)) in caught.value.hint


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_a_damaged_table_is_refused(text: str) -> None:
    path = tuned.user_file(ISA)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(HetpartError) as caught:
        choose(SPEC, ISA)
    assert caught.value.code == "bad-table"


def test_shapes_that_need_other_tiles_have_other_keys() -> None:
    wider = ConvSpec(Blocked(1, 32, 12, 12, BLOCK, Halo(1, 1, 1, 9)), SPEC.out, (3, 3), pads=(1,) * 4)
    assert len({shape_key(spec) for spec in (SPEC, FLAT, wider)}) == 3
