"""The plan file: any plan survives the trip, equal plans give equal bytes, damage is noticed."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetpart.bundle import planfile
from hetpart.bundle.planfile import DTYPES, decode_plan, encode_plan
from hetpart.bundle.toolchain import RUNTIME
from hetpart.errors import HetpartError, InternalError
from hetpart.plan.plan import Buffer, ImageShape, Plan, Port, Step, Transfer, Wait

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
small = st.integers(0, 2**31 - 1)
shapes = st.lists(st.integers(0, 2**40), max_size=5).map(tuple)
sizes = st.tuples(small, small, small)
indices = st.integers(0, 9)

buffers = st.builds(
    Buffer,
    name=names,
    space=st.sampled_from(["arena", "weights", "texture"]),
    offset=st.integers(0, 2**60),
    size=st.integers(0, 2**60),
    dtype=st.sampled_from(list(DTYPES)),
    shape=shapes,
    root=names,
)
views = st.builds(
    Buffer,
    name=names,
    space=st.just("image"),
    offset=small,
    size=small,
    dtype=st.sampled_from(["float16", "float32"]),
    shape=shapes,
    root=names,
    image=indices,
)
images = st.builds(ImageShape, small, small, st.sampled_from(["float16", "float32"]))
ports = st.builds(Port, name=names, buffer=indices, dtype=st.sampled_from(list(DTYPES)), shape=shapes)


def steps(processors: list[str]) -> st.SearchStrategy[Step]:
    some = st.sampled_from(processors)
    return st.builds(
        Step,
        unit=names,
        kernel=names,
        args=st.just((3, 1, 4, 1)),
        extent=small,
        ranged=st.booleans(),
        global_size=sizes,
        local_size=sizes,
        waits=st.lists(st.builds(Wait, some, small), max_size=2).map(tuple),
        transfers=st.lists(st.builds(Transfer, indices, some), max_size=2).map(tuple),
        predicted_us=small,
        writes=st.sampled_from([(), (3,), (0, 2)]),
        offset=sizes,
        grouped=st.booleans(),
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    kinds = draw(st.dictionaries(names, st.sampled_from(["cpu", "opencl", "hexagon"]), min_size=1, max_size=3))
    lists = st.lists(steps(list(kinds)), max_size=3).map(tuple)
    return Plan(
        processors={name: draw(lists) for name in kinds},
        buffers=tuple(draw(st.lists(buffers | views, max_size=3))),
        inputs=tuple(draw(st.lists(ports, max_size=2))),
        outputs=tuple(draw(st.lists(ports, max_size=2))),
        arena_bytes=draw(st.integers(0, 2**60)),
        weights_bytes=draw(st.integers(0, 2**60)),
        predicted_us=draw(small),
        kinds=kinds,
        threads={name: draw(st.integers(1, 64)) for name in kinds},
        images=tuple(draw(st.lists(images, max_size=2))),
    )


@settings(max_examples=100, deadline=None)
@given(plan=plans())
def test_round_trip(plan: Plan) -> None:
    data = encode_plan(plan)
    assert decode_plan(data) == plan
    assert encode_plan(decode_plan(data)) == data


@settings(max_examples=100, deadline=None)
@given(plan=plans(), position=st.integers(0, 10**6), value=st.integers(1, 255))
def test_every_flipped_byte_is_noticed(plan: Plan, position: int, value: int) -> None:
    data = bytearray(encode_plan(plan))
    data[position % len(data)] ^= value
    with pytest.raises(HetpartError) as caught:
        decode_plan(bytes(data))
    assert caught.value.code in ("corrupt-plan", "version-mismatch")


EMPTY = Plan({"cpu": ()}, (), (), (), 0, 0, kinds={"cpu": "cpu"}, threads={"cpu": 1})
STEP = Step("u", "k", ())


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (dataclasses.replace(EMPTY, inputs=(Port("a\0b", 0, "int8", ()),)), "nul-in-name"),
        (dataclasses.replace(EMPTY, inputs=(Port("x", 0, "complex64", ()),)), "unsupported-dtype"),
        (dataclasses.replace(EMPTY, kinds={}), "unencodable-plan"),
        (dataclasses.replace(EMPTY, kinds={"cpu": "npu"}), "unencodable-plan"),
        (dataclasses.replace(EMPTY, arena_bytes=-1), "unencodable-plan"),
        (dataclasses.replace(EMPTY, buffers=(Buffer("b", "stack", 0, 4, "int8", (4,)),)), "unencodable-plan"),
        (dataclasses.replace(EMPTY, processors={"cpu": (dataclasses.replace(STEP, waits=(Wait("gpu", 1),)),)}),
         "unencodable-plan"),
        (dataclasses.replace(EMPTY, processors={"cpu": (dataclasses.replace(STEP, extent=2**32),)}),
         "unencodable-plan"),
    ],
)  # fmt: skip
def test_plans_that_no_file_can_hold(plan: Plan, code: str) -> None:
    with pytest.raises(HetpartError) as caught:
        encode_plan(plan)
    assert caught.value.code == code
    assert isinstance(caught.value, InternalError) == (code == "unencodable-plan")


def test_not_a_plan() -> None:
    for data in (b"", b"HETPLAN\0", b"\x7fELF" * 40):
        with pytest.raises(HetpartError, match="not a hetpart plan"):
            decode_plan(data)


def test_c_reader_knows_the_same_constants() -> None:
    header = (RUNTIME / "src" / "plan.h").read_text()
    assert int(re.search(r"PLAN_VERSION = (\d+)", header)[1]) == planfile.VERSION  # type: ignore[index]  # a failing test
    for name, number in planfile.KINDS.items():
        assert f"KIND_{name.upper()} = {number}" in header
    for name, number in planfile.SPACES.items():
        assert f"SPACE_{name.upper()} = {number}" in header
    table = (RUNTIME / "src" / "plan.c").read_text()
    found = {name: int(code, 16) for code, name in re.findall(r'\{(0x\w+), "(\w+)"\}', table)}
    assert found == DTYPES
