"""The pool of images: nobody shares while in use, and images are reused."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from hetpart.plan.images import Stay, pool
from hetpart.plan.plan import ImageShape

SHAPES = st.builds(ImageShape, st.integers(1, 40), st.integers(1, 40), st.sampled_from(["float32", "float16"]))


@st.composite
def stays(draw: st.DrawFn) -> list[Stay]:
    made = []
    for number in range(draw(st.integers(0, 12))):
        first = draw(st.integers(0, 20))
        made.append(Stay(f"v{number}", draw(SHAPES), first, first + draw(st.integers(0, 6))))
    return made


@given(wanted=stays())
def test_values_that_share_an_image_never_meet_in_a_step(wanted: list[Stay]) -> None:
    numbers, images = pool(wanted)
    for stay in wanted:
        image = images[numbers[stay.name]]
        assert image.width >= stay.shape.width
        assert image.height >= stay.shape.height
        assert image.dtype == stay.shape.dtype
    for one, other in combinations(wanted, 2):
        if numbers[one.name] == numbers[other.name]:
            assert one.last < other.first or other.last < one.first
    assert sum(image.texels for image in images) <= sum(stay.shape.texels for stay in wanted)


def test_a_chain_needs_two_images() -> None:
    shape = ImageShape(8, 8, "float32")
    _, images = pool([Stay(f"v{i}", shape, i, i + 1) for i in range(9)])
    assert images == (shape, shape)
