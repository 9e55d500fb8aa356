"""The simulator: waits, slowdown, jitter, transfers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetpart.errors import HetpartError, InternalError
from hetpart.plan.plan import Buffer, Plan, Step, Transfer, Wait
from hetpart.plan.simulate import simulate

PLAN = Plan(
    processors={
        "cpu": (
            Step("a", "k", (0,), writes=(0,), predicted_us=10),
            Step("c", "k", (0,), writes=(0,), predicted_us=5, waits=(Wait("gpu", 1),), transfers=(Transfer(0, "gpu"),)),
        ),
        "gpu": (Step("b", "k", (0,), writes=(0,), predicted_us=30, waits=(Wait("cpu", 1),)),),
    },
    buffers=(Buffer("v", "arena", 0, 400, "float32", (100,)),),
    inputs=(),
    outputs=(),
    arena_bytes=400,
    weights_bytes=0,
)


def test_replays_order_and_waits() -> None:
    run = simulate(PLAN)
    assert run.makespan_us == 45
    assert run.busy_us == {"cpu": 15, "gpu": 30}
    assert run.start_us == {"cpu": (0, 40), "gpu": (10,)}
    assert run.finish_us == {"cpu": (10, 45), "gpu": (40,)}


def test_slowdown_of_one_processor() -> None:
    assert simulate(PLAN, slowdown={"gpu": 2}).makespan_us == 75
    assert simulate(PLAN, slowdown={"cpu": 3}).makespan_us == 75


def test_transfers_take_the_reader_s_time() -> None:
    run = simulate(PLAN, transfer_us=lambda source, target, size: size / 100 + (source, target).index("cpu"))
    assert run.makespan_us == 45 + 4 + 1
    assert run.busy_us["cpu"] == 20


@given(st.floats(0, 2), st.integers(0, 5))
def test_jitter_is_bounded_and_repeatable(jitter: float, seed: int) -> None:
    run = simulate(PLAN, jitter=jitter, seed=seed)
    assert 45 <= run.makespan_us <= 45 * (1 + jitter) + 1e-9
    assert run == simulate(PLAN, jitter=jitter, seed=seed)


def test_no_steps() -> None:
    empty = Plan({"cpu": ()}, (), (), (), 0, 0)
    assert simulate(empty).makespan_us == 0


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"slowdown": {"npu": 2.0}}, "unknown-processor"),
        ({"slowdown": {"gpu": 0.0}}, "bad-slowdown"),
        ({"slowdown": {"gpu": float("nan")}}, "bad-slowdown"),
        ({"jitter": -0.1}, "bad-jitter"),
    ],
)
def test_refuses_nonsense(options: dict[str, object], code: str) -> None:
    with pytest.raises(HetpartError) as caught:
        simulate(PLAN, **options)  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.code == code


def test_deadlock() -> None:
    stuck = Plan(
        {
            "cpu": (Step("a", "k", (), waits=(Wait("gpu", 1),)),),
            "gpu": (Step("b", "k", (), waits=(Wait("cpu", 1),)),),
        },
        (), (), (), 0, 0,
    )  # fmt: skip
    with pytest.raises(InternalError, match="deadlock"):
        simulate(stuck)
