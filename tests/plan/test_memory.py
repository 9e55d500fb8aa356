"""The arena: no two allocations that can be alive together share a byte."""

from hypothesis import given
from hypothesis import strategies as st

from hetpart.plan.memory import ALIGNMENT, Allocation, place


def chain(steps: int) -> list[int]:
    """Steps in one line: step i is before all later ones."""
    return [((1 << steps) - 1) & ~((1 << (i + 1)) - 1) for i in range(steps)]


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Allocation], list[int]]:
    count = draw(st.integers(1, 8))
    # a random order relation: edges from lower to higher numbers, closed transitively
    later = [0] * count
    for i in reversed(range(count)):
        for j in range(i + 1, count):
            if draw(st.booleans()):
                later[i] |= 1 << j | later[j]
    allocations = [
        Allocation(
            f"v{i}",
            draw(st.integers(1, 2000)),
            tuple(sorted(draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=3)))),
            draw(st.integers(0, 9)) == 0,
        )
        for i in range(draw(st.integers(1, 10)))
    ]
    return allocations, later


@given(cases())
def test_overlapping_allocations_are_never_alive_together(case: tuple[list[Allocation], list[int]]) -> None:
    allocations, later = case
    offsets, size = place(allocations, later)
    for i, a in enumerate(allocations):
        assert offsets[a.name] % ALIGNMENT == 0
        assert offsets[a.name] + a.size <= size
        for b in allocations[:i]:
            apart = offsets[a.name] + a.size <= offsets[b.name] or offsets[b.name] + b.size <= offsets[a.name]
            a_first = all(later[s] >> t & 1 for s in a.steps for t in b.steps)
            b_first = all(later[t] >> s & 1 for s in a.steps for t in b.steps)
            assert apart or ((a_first or b_first) and not (a.exclusive or b.exclusive))


def test_a_chain_needs_two_buffers_at_a_time() -> None:
    allocations = [Allocation(f"v{i}", 1000, (i, i + 1)) for i in range(9)]
    _, size = place(allocations, chain(10))
    assert size == 2 * 1024


def test_exclusive_allocations_share_nothing() -> None:
    allocations = [Allocation("in", 128, (0,), exclusive=True), Allocation("v", 128, (5,))]
    offsets, size = place(allocations, chain(6))
    assert offsets["in"] != offsets["v"]
    assert size == 256


def test_an_empty_arena() -> None:
    assert place([], []) == ({}, 0)
