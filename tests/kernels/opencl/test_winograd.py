"""Winograd's transform in OpenCL: every kind of edge against float64, and when it is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hetpart.graph.epilogue import Step
from hetpart.graph.evaluate import apply_steps
from hetpart.graph.layout import Blocked, Halo, pack, unpack
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import conv, winograd, winograd_plan
from hetpart.kernels.opencl.tiles import Tile
from hetpart.kernels.opencl.winograd_plan import WinogradPlan
from hetpart.kernels.spec import ConvSpec
from hetpart.kernels.winograd import OUTPUTS
from tests.kernels.opencl.conftest import SIMT, TILE
from tests.kernels.opencl.test_conv import PADDED, convolve, make
from tests.numerics import relative_error

CACHED = replace(TILE, local_bytes=2 << 20)
TOLERANCE = {(4, 4): 4e-6, (4, 2): 2e-6, (2, 2): 1e-6}
"""Relative L2 error; the transforms with larger constants round more."""


@contextmanager
def forced(plan: WinogradPlan) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd_plan, "choose", lambda spec, device: plan)
        yield


def check(rig: Any, spec: ConvSpec, plan: WinogradPlan, rng: np.random.Generator) -> None:
    x = rng.standard_normal(spec.x.shape).astype(np.float32)
    constants = {"w": rng.standard_normal((spec.out.c, spec.x.c, 3, 3)).astype(np.float32)}
    wanted = convolve(x, constants["w"], spec)
    if spec.bias:
        constants["b"] = rng.standard_normal(spec.out.c).astype(np.float32)
        wanted += constants["b"].reshape(1, -1, 1, 1)
    operands = [rng.standard_normal(form.shape).astype(np.float32) for form in spec.operands]
    wanted = apply_steps(wanted, spec.steps, [np.asarray(o, np.float64) for o in operands])
    with forced(plan):
        found = rig.run(spec, CACHED, [x, *operands], constants)
    assert relative_error(found, wanted) <= TOLERANCE[plan.outputs], (spec, plan)


def plan_of(spec: ConvSpec, outputs: tuple[int, int], band: int, group: int, tile: tuple[int, int]) -> WinogradPlan:
    patches = -(-spec.out.h // outputs[0]), -(-spec.out.w // outputs[1])
    band = min(band, patches[0])
    return WinogradPlan(outputs, patches, band, group, Tile(tile[0], 1, min(tile[1], band * patches[1])))


CASES = {
    "whole patches": dict(c=32, out_c=32, size=(8, 8), **PADDED),
    "edges": dict(c=16, out_c=32, size=(9, 11), **PADDED),
    "one patch": dict(c=16, out_c=64, size=(4, 4), **PADDED),
    "no padding": {"c": 16, "out_c": 32, "size": (11, 9)},
    "uneven padding": {"c": 16, "out_c": 32, "size": (8, 9), "pads": (2, 0, 1, 2)},
    "channel tails": dict(c=20, out_c=37, size=(7, 6), n=2, **PADDED),
    "few channels": dict(c=3, out_c=5, size=(12, 13), bias=False, **PADDED),
    "no halo": dict(c=16, out_c=32, size=(6, 7), halo=Halo(), **PADDED),
}


@pytest.mark.parametrize("outputs", OUTPUTS)
@pytest.mark.parametrize("name", CASES)
def test_kernel(rig: Any, rng: np.random.Generator, name: str, outputs: tuple[int, int]) -> None:
    spec = make(16, **CASES[name])
    depth = 1 if spec.out.blocks % 2 else 2
    check(rig, spec, plan_of(spec, outputs, 2, spec.out.blocks, (depth, 3)), rng)


@pytest.mark.parametrize("block", [4, 8, 16])
def test_epilogue_in_groups(rig: Any, rng: np.random.Generator, block: int) -> None:
    bare = make(block, 2 * block, 4 * block, (9, 10), n=2, **PADDED)
    n, c, h, w = bare.out.shape
    operands = (
        Blocked(n, c, h, w, block, Halo(0, 1, 2, 0)),
        Blocked(1, c, 1, 1, block),
        Blocked(n, 1, h, w, block),
    )
    steps = (
        Step("relu"), Step("add", operand=0), Step("sub", operand=2, reverse=True), Step("mul", operand=1), Step("silu")
    )  # fmt: skip
    spec = replace(bare, steps=steps, operands=operands)
    check(rig, spec, plan_of(spec, (4, 2), 1, 2, (1, 4)), rng)


@st.composite
def plans(draw: st.DrawFn) -> tuple[ConvSpec, WinogradPlan]:
    outputs = draw(st.sampled_from(OUTPUTS))
    pads = draw(st.tuples(*[st.integers(0, 2)] * 4))
    least = tuple(m + 2 for m in outputs)
    block = draw(st.sampled_from([4, 8]))
    spec = make(
        block,
        draw(st.integers(1, 3 * block)),
        draw(st.integers(1, 4 * block)),
        (draw(st.integers(least[0], 14)), draw(st.integers(least[1], 14))),
        n=draw(st.integers(1, 2)),
        pads=pads,
        bias=draw(st.booleans()),
        halo=draw(st.builds(Halo, *[st.integers(0, 2)] * 4)),
        steps=draw(st.sampled_from([(), (Step("relu"),), (Step("clip", (0.0, 6.0)),)])),
    )
    if draw(st.booleans()):
        operand = replace(spec.out, halo=draw(st.builds(Halo, *[st.integers(0, 1)] * 4)))
        spec = replace(spec, steps=(Step("add", operand=0), *spec.steps), operands=(operand,))
    blocks = spec.out.blocks
    group = draw(st.sampled_from([d for d in range(1, blocks + 1) if blocks % d == 0]))
    depth = draw(st.sampled_from([d for d in range(1, group + 1) if group % d == 0]))
    return spec, plan_of(spec, outputs, draw(st.integers(1, 4)), group, (depth, draw(st.integers(1, 6))))


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=plans())
def test_any_geometry(rig: Any, rng: np.random.Generator, case: tuple[ConvSpec, WinogradPlan]) -> None:
    spec, plan = case
    check(rig, spec, plan, rng)


@pytest.mark.parametrize(("c", "size"), [(64, 20), (16, 30), (128, 14)])
def test_as_onnxruntime(rig: Any, rng: np.random.Generator, c: int, size: int) -> None:
    """What is chosen, beside another engine's result."""
    spec = make(16, c, c, (size, size), **PADDED)
    assert winograd_plan.choose(spec, CACHED)
    x = rng.standard_normal(spec.x.shape).astype(np.float32)
    w = rng.standard_normal((c, c, 3, 3)).astype(np.float32)
    b = rng.standard_normal(c).astype(np.float32)
    wanted = rig.onnx("Conv", [x, w, b], pads=[1, 1, 1, 1])
    assert relative_error(rig.run(spec, CACHED, [x], {"w": w, "b": b}), wanted) <= 5e-6


def test_shared_rows_belong_to_one_item(rig: Any, rng: np.random.Generator) -> None:
    """The last band overlaps the one above; it must not write what that one, perhaps at the same time, writes."""
    spec = make(16, 16, 16, (9, 8), halo=Halo(), bias=False, **PADDED)
    x = rng.standard_normal(spec.x.shape).astype(np.float32)
    w = rng.standard_normal((16, 16, 3, 3)).astype(np.float32)
    with forced(plan_of(spec, (4, 4), 1, 1, (1, 2))):
        launch = conv.launch(spec, CACHED)
        assert launch.global_size == (3, 1, 1)
        kernel = rig.build(conv.source(spec, CACHED, "kernel_under_test")).kernel_under_test
        (weights,) = conv.pack(spec, CACHED, {"w": w})
    stored = np.full(spec.out.physical_shape, np.nan, np.float32)
    out = rig.buffer(stored)
    args = rig.buffer(pack(x, spec.x)), rig.buffer(weights), out
    kernel(rig.queue, (1, 1, 1), (1, 1, 1), *args, global_offset=(2, 0, 0))
    rig.cl.enqueue_copy(rig.queue, stored, out)
    found = unpack(stored, spec.out)
    assert np.isnan(found[:, :, :8]).all()
    assert relative_error(found[:, :, 8:], convolve(x, w, spec)[:, :, 8:]) <= 4e-6


@given(
    c=st.integers(1, 1100), out_c=st.integers(1, 1100), h=st.integers(1, 60), w=st.integers(1, 60),
    narrow=st.booleans(), local_bytes=st.integers(0, 4 << 20),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_plans_cover_the_layer_and_fit(c: int, out_c: int, h: int, w: int, narrow: bool, local_bytes: int) -> None:
    block, registers = (4, 16) if narrow else (16, 32)
    device = Device(True, registers, (1, 1, 1), local_bytes=local_bytes)
    spec = make(block, c, out_c, (h, w), **PADDED)
    if (plan := winograd_plan.choose(spec, device)) is None:
        return
    assert plan.local_bytes(spec) <= local_bytes
    assert spec.out.blocks % plan.group == plan.group % plan.tile.blocks == 0
    assert (plan.bands - 1) * plan.band < plan.patches[0] <= plan.bands * plan.band
    assert plan.tile.columns <= plan.columns
    assert plan.tile.blocks * (plan.tile.columns + 1) < registers
    assert plan.outputs[0] <= h and plan.outputs[1] <= w  # noqa: PT018 - one fact: a patch fits


@pytest.mark.parametrize(
    ("c", "out_c", "size", "outputs"),
    [(64, 64, 56, (4, 4)), (16, 64, 56, (4, 4)), (128, 128, 112, (4, 4)), (3, 64, 224, None), (3, 16, 32, None)],
)
def test_choice(c: int, out_c: int, size: int, outputs: tuple[int, int] | None) -> None:
    """Measured best with PoCL on a Xeon of 2023."""
    plan = winograd_plan.choose(make(16, c, out_c, (size, size), **PADDED), CACHED)
    assert (plan and plan.outputs) == outputs


def test_elsewhere_convolutions_are_direct() -> None:
    spec = make(16, 64, 64, (56, 56), **PADDED)
    assert winograd_plan.choose(spec, CACHED)
    strided = make(16, 64, 64, (56, 56), strides=(2, 2), **PADDED)
    half = replace(spec, x=replace(spec.x, dtype="float16"), out=replace(spec.out, dtype="float16"))
    for other in (strided, half, replace(spec, kernel=(3, 1), pads=(1, 0, 1, 0)), make(16, 64, 64, (9, 9), group=2)):
        assert winograd_plan.choose(other, CACHED) is None
    assert winograd_plan.choose(spec, TILE) is None
    assert winograd_plan.choose(spec, replace(SIMT, local_bytes=2 << 20)) is None


def test_text_is_deterministic_and_named() -> None:
    spec = make(16, 64, 64, (56, 56), **PADDED)
    plan = winograd_plan.choose(spec, CACHED)
    assert plan
    text = winograd.source(spec, plan, "conv_1")
    assert text == winograd.source(spec, plan, "conv_1")
    assert "patches of 4 x 4 pixels by Winograd's transform" in text
    assert len(text.splitlines()) < 260
