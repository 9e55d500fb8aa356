"""Elementwise kernels and every epilogue step against their numpy definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hetpart.errors import InternalError
from hetpart.graph.epilogue import BINARY, UNARY, Step
from hetpart.graph.evaluate import apply_steps
from hetpart.graph.layout import Blocked, Halo, Plain
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import eltwise
from hetpart.kernels.spec import EltwiseSpec
from tests.numerics import relative_error

POSITIVE = {"log", "sqrt", "rsqrt"}
PARAMETRIC = [
    Step("clip", (-0.5, 0.75)),
    Step("clip", (-np.inf, 0.5)),
    Step("clip", (0.0, np.inf)),
    Step("leaky_relu", (0.1,)),
    Step("elu", (0.7,)),
    Step("hard_sigmoid", (0.2, 0.5)),
    Step("add_const", (1.1,)),
    Step("mul_const", (-3.0,)),
    Step("pow_const", (3.0,)),
]
SIMT = Device(False, 24, (8, 4, 2))
SPECIAL = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 90.0, -90.0, 1e-8], np.float32)


@pytest.mark.parametrize("step", [*map(Step, sorted(UNARY)), *PARAMETRIC], ids=lambda s: s.op)
def test_steps_of_one_value(rig: Any, rng: np.random.Generator, step: Step) -> None:
    usual = rng.uniform(-4, 4, 101).astype(np.float32)
    usual = np.abs(usual) if step.op in POSITIVE else usual
    form = Plain((len(usual) + len(SPECIAL),))
    found = rig.run(EltwiseSpec(form, form, (step,)), SIMT, [np.concatenate([usual, SPECIAL])])
    assert relative_error(found[: len(usual)], apply_steps(usual.astype(np.float64), [step], [])) < 1e-6
    with np.errstate(over="ignore"):
        wanted = apply_steps(SPECIAL.astype(np.float64), [step], []).astype(np.float32)
    np.testing.assert_allclose(found[len(usual) :], wanted, rtol=2e-6, atol=1e-37)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("op", sorted(BINARY))
def test_steps_of_two_values(rig: Any, rng: np.random.Generator, op: str, reverse: bool) -> None:
    x, y = (rng.uniform(0.1 if op == "pow" else -3, 3, 101).astype(np.float32) for _ in range(2))
    if op != "pow":
        x[:3], y[2:5] = np.nan, np.nan
    form, step = Plain(x.shape), Step(op, operand=0, reverse=reverse)
    found = rig.run(EltwiseSpec(form, form, (step,), (form,)), SIMT, [x, y])
    assert relative_error(found, apply_steps(x.astype(np.float64), [step], [y.astype(np.float64)])) < 1e-6


def test_blocked_broadcast(rig: Any, rng: np.random.Generator, style: tuple[Device, int]) -> None:
    device, block = style
    x = Blocked(2, 21, 5, 7, block, Halo(0, 1, 0, 0))
    out = Blocked(2, 21, 5, 7, block, Halo(1, 0, 2, 1))
    forms = (
        Blocked(2, 21, 1, 1, block),
        Blocked(1, 1, 5, 7, block, Halo(1, 1, 1, 1)),
        Blocked(2, 21, 5, 7, block),
        Blocked(1, 21, 1, 7, block),
    )
    steps = tuple(Step(op, operand=i) for i, op in enumerate(("mul", "add", "max", "sub")))
    arrays = [rng.standard_normal(form.shape).astype(np.float32) for form in (x, *forms)]
    wanted = apply_steps(arrays[0].astype(np.float64), steps, arrays[1:])
    assert relative_error(rig.run(EltwiseSpec(x, out, steps, forms), device, arrays), wanted) < 1e-6


@st.composite
def broadcasts(draw: st.DrawFn) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """An output shape and three shapes that broadcast to it, the first of them x's."""
    out = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 5, 33]), min_size=0, max_size=4)))
    shapes = []
    for _ in range(3):
        shape = [draw(st.sampled_from([1, extent])) for extent in out]
        shapes.append(tuple(shape[draw(st.integers(0, len(out))) :]))
    return np.broadcast_shapes(*shapes), shapes


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=broadcasts(), tile_items=st.booleans())
def test_any_broadcast(
    rig: Any, rng: np.random.Generator, case: tuple[tuple[int, ...], list[tuple[int, ...]]], tile_items: bool
) -> None:
    shape, shapes = case
    device = Device(True, 32, (1, 1, 1)) if tile_items else SIMT
    arrays = [rng.standard_normal(s).astype(np.float32) for s in shapes]
    steps = (Step("mul", operand=0), Step("add", operand=1))
    spec = EltwiseSpec(Plain(shapes[0]), Plain(shape), steps, tuple(Plain(s) for s in shapes[1:]))
    wanted = arrays[0].astype(np.float64) * arrays[1] + arrays[2]
    assert relative_error(rig.run(spec, device, arrays), wanted) < 1e-6


def test_long_row_is_cut_into_items(rig: Any, rng: np.random.Generator) -> None:
    device = Device(True, 32, (1, 1, 1))
    x = rng.standard_normal(40_003).astype(np.float32)
    spec = EltwiseSpec(Plain(x.shape), Plain(x.shape), (Step("neg"),))
    assert eltwise.launch(spec, device).global_size == (3, 1, 1)
    assert np.array_equal(rig.run(spec, device, [x]), -x)


def test_mixed_layouts_are_refused() -> None:
    spec = EltwiseSpec(Plain((1, 4, 2, 2)), Blocked(1, 4, 2, 2, 4), (Step("relu"),))
    with pytest.raises(InternalError):
        eltwise.source(spec, SIMT, "mixed")
