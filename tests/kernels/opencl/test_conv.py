"""Convolutions of every kind against a float64 reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hetpart.errors import InternalError
from hetpart.graph.epilogue import Step
from hetpart.graph.evaluate import apply_steps
from hetpart.graph.layout import Blocked, Halo
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import conv, direct, grouped
from hetpart.kernels.spec import ConvSpec
from tests.kernels.opencl.conftest import SIMT, TILE
from tests.numerics import relative_error


def convolve(x: np.ndarray, w: np.ndarray, spec: ConvSpec) -> np.ndarray:
    """Float64 convolution without bias."""
    top, left, bottom, right = spec.pads
    (sy, sx), (dy, dx) = spec.strides, spec.dilations
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom + sy), (left, right + sx)))
    groups = padded.reshape(spec.x.n, spec.group, -1, *padded.shape[2:])
    filters = w.astype(np.float64).reshape(spec.group, -1, *w.shape[1:])
    out = np.zeros((spec.x.n, spec.group, filters.shape[1], spec.out.h, spec.out.w))
    for ky in range(spec.kernel[0]):
        for kx in range(spec.kernel[1]):
            rows = slice(ky * dy, ky * dy + (spec.out.h - 1) * sy + 1, sy)
            columns = slice(kx * dx, kx * dx + (spec.out.w - 1) * sx + 1, sx)
            out += np.einsum("ngchw,goc->ngohw", groups[:, :, :, rows, columns], filters[..., ky, kx])
    return out.reshape(spec.out.shape)


def make(
    block: int, c: int, out_c: int, size: tuple[int, int], kernel: tuple[int, int] = (3, 3), n: int = 1, **more: Any
) -> ConvSpec:
    """A spec whose input halo is just wide enough, with an uneven output halo."""
    strides, dilations = more.get("strides", (1, 1)), more.get("dilations", (1, 1))
    top, left, bottom, right = more.get("pads", (0, 0, 0, 0))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    h = (size[0] + top + bottom - reach[0]) // strides[0] + 1
    w = (size[1] + left + right - reach[1]) // strides[1] + 1
    x = Blocked(n, c, *size, block, Halo(top, left, bottom, right))
    out = Blocked(n, out_c, h, w, block, more.pop("halo", Halo(1, 2, 0, 1)))
    return ConvSpec(x, out, kernel, **more)


def check(rig: Any, spec: ConvSpec, device: Device, rng: np.random.Generator, **how: Any) -> None:
    x = rng.standard_normal(spec.x.shape).astype(np.float32)
    constants = {"w": rng.standard_normal((spec.out.c, spec.x.c // spec.group, *spec.kernel)).astype(np.float32)}
    wanted = convolve(x, constants["w"], spec)
    if spec.bias:
        constants["b"] = rng.standard_normal(spec.out.c).astype(np.float32)
        wanted += constants["b"].reshape(1, -1, 1, 1)
    operands = [rng.standard_normal(form.shape).astype(np.float32) for form in spec.operands]
    wanted = apply_steps(wanted, spec.steps, [np.asarray(o, np.float64) for o in operands])
    found = rig.run(spec, device, [x, *operands], constants, **how)
    assert relative_error(found, wanted) <= 2e-6, spec


PADDED = {"pads": (1, 1, 1, 1)}
CASES = {
    "pointwise": {"c": 32, "out_c": 48, "size": (9, 15), "kernel": (1, 1)},
    "pointwise-strided": {"c": 20, "out_c": 16, "size": (9, 15), "kernel": (1, 1), "strides": (2, 2)},
    "3x3": dict(c=16, out_c=32, size=(7, 14), **PADDED),
    "3x3-tails": dict(c=19, out_c=37, size=(5, 9), n=2, **PADDED),
    "first": {"c": 3, "out_c": 24, "size": (17, 18), "kernel": (7, 7), "strides": (2, 2), "pads": (3, 3, 3, 3)},
    "dilated": {"c": 5, "out_c": 8, "size": (11, 10), "dilations": (2, 3), "pads": (2, 3, 2, 3)},
    "uneven": {
        "c": 6,
        "out_c": 4,
        "size": (8, 9),
        "kernel": (2, 5),
        "strides": (1, 3),
        "pads": (0, 1, 1, 2),
        "bias": False,
    },
    "one-pixel": {"c": 64, "out_c": 128, "size": (1, 1), "kernel": (1, 1)},
    "one-row": {"c": 8, "out_c": 16, "size": (1, 33), "kernel": (1, 3), "pads": (0, 1, 0, 1)},
    "groups-of-blocks": dict(c=32, out_c=64, size=(6, 7), group=2, n=2, **PADDED),
    "groups-in-block": dict(c=24, out_c=12, size=(6, 7), group=6, n=2, **PADDED),
    "groups-across-blocks": dict(c=30, out_c=60, size=(6, 7), group=3, **PADDED),
    "depthwise": dict(c=40, out_c=40, size=(9, 15), group=40, n=2, **PADDED),
    "depthwise-strided": {
        "c": 17,
        "out_c": 17,
        "size": (9, 15),
        "group": 17,
        "strides": (2, 2),
        "kernel": (5, 5),
        "pads": (2, 2, 2, 2),
    },
    "depthwise-multiplied": dict(c=9, out_c=27, size=(6, 6), group=9, **PADDED),
}


@pytest.mark.parametrize("case", CASES)
def test_kinds(rig: Any, rng: np.random.Generator, style: tuple[Device, int], case: str) -> None:
    device, block = style
    check(rig, make(block, **CASES[case]), device, rng)


@pytest.mark.parametrize("x_block", [1, 2, 8])
def test_input_in_another_block(rig: Any, rng: np.random.Generator, style: tuple[Device, int], x_block: int) -> None:
    """An image with few channels is stored in a narrow block."""
    device, block = style
    spec = make(block, 3, 20, (9, 11), strides=(2, 2), **PADDED)
    check(rig, replace(spec, x=replace(spec.x, block=x_block)), device, rng)


@pytest.mark.parametrize("block", [1, 8])
def test_other_blocks(rig: Any, rng: np.random.Generator, block: int) -> None:
    device = Device(tile_items=True, registers=16, work_group=(1, 1, 1))
    check(rig, make(block, 11, 21, (5, 9), **PADDED), device, rng)


def test_epilogue(rig: Any, rng: np.random.Generator, style: tuple[Device, int]) -> None:
    device, block = style
    bare = make(block, 12, 20, (6, 9), n=2, **PADDED)
    n, c, h, w = bare.out.shape
    operands = (
        Blocked(n, c, h, w, block, Halo(0, 1, 2, 0)),
        Blocked(1, c, 1, 1, block),
        Blocked(n, 1, h, w, block),
    )
    steps = (
        Step("relu"), Step("add", operand=0), Step("sub", operand=2, reverse=True), Step("mul", operand=1), Step("silu")
    )  # fmt: skip
    spec = ConvSpec(bare.x, bare.out, (3, 3), pads=(1, 1, 1, 1), steps=steps, operands=operands)
    check(rig, spec, device, rng)


def test_simt_kernels_run_one_by_one(rig: Any, rng: np.random.Generator, style: tuple[Device, int]) -> None:
    """The rehearsal of a phone's bundle launches them with local size 1."""
    device, block = style
    check(rig, make(block, 12, 20, (6, 9), **PADDED), device, rng, local_size=(1, 1, 1))


@pytest.mark.parametrize("group", [1, 2, 6])
def test_infinities_stay_in_their_group(
    rig: Any, rng: np.random.Generator, style: tuple[Device, int], group: int
) -> None:
    device, block = style
    spec = make(block, 12, 12, (4, 4), (1, 1), group=group, halo=Halo())
    x = rng.standard_normal(spec.x.shape).astype(np.float32)
    x[0, 0, 0, 0] = np.inf
    w = np.ones((12, 12 // group, 1, 1), np.float32)
    found = rig.run(spec, device, [x], {"w": w, "b": np.zeros(12, np.float32)})
    per_group = 12 // group
    assert np.isposinf(found[0, :per_group, 0, 0]).all()
    assert np.isfinite(found[0, per_group:]).all()
    assert np.isfinite(found[0, :, 1:]).all()


@st.composite
def specs(draw: st.DrawFn) -> tuple[int, dict[str, Any]]:
    group = draw(st.sampled_from([1, 1, 1, 2, 3]))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilations = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    size = tuple(draw(st.integers((k - 1) * d + 1, 12)) for k, d in zip(kernel, dilations, strict=True))
    return draw(st.sampled_from([4, 16])), {
        "c": group * draw(st.integers(1, 20)),
        "out_c": group * draw(st.integers(1, 20)),
        "size": size,
        "kernel": kernel,
        "n": draw(st.integers(1, 2)),
        "group": group,
        "dilations": dilations,
        "strides": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "pads": draw(st.tuples(*[st.integers(0, 2)] * 4)),
        "bias": draw(st.booleans()),
        "halo": draw(st.builds(Halo, *[st.integers(0, 2)] * 4)),
    }


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=specs(), tile_items=st.booleans())
def test_any_geometry(rig: Any, rng: np.random.Generator, case: tuple[int, dict[str, Any]], tile_items: bool) -> None:
    block, arguments = case
    device = Device(True, 32, (1, 1, 1)) if tile_items else Device(False, 24, (8, 4, 2))
    check(rig, make(block, **arguments), device, rng)


def test_choice_of_contraction() -> None:
    assert conv._contraction(make(4, 8, 8, (3, 3), group=2)) is direct
    assert conv._contraction(make(16, 8, 8, (3, 3), group=2)) is grouped


def test_grouped_input_in_another_block_is_refused() -> None:
    spec = make(16, 8, 8, (3, 3), group=2)
    with pytest.raises(InternalError, match="2 groups"):
        conv.launch(replace(spec, x=replace(spec.x, block=4)), Device(True, 32, (1, 1, 1)))


def test_impossible_groups_are_refused() -> None:
    with pytest.raises(InternalError, match="3 groups"):
        conv.launch(make(4, 8, 8, (3, 3), group=3), Device(True, 32, (1, 1, 1)))


@pytest.mark.parametrize(("size", "streamed"), [(7, True), (14, False)])
def test_weights_that_stream_are_prefetched(size: int, streamed: bool) -> None:
    """Few tiles use them, so their way from memory decides; clang's builtin is for OpenCL on a CPU only."""
    spec = make(16, 64, 64, (size, size), (1, 1))
    assert ("__builtin_prefetch(" in conv.source(spec, TILE, "conv")) == streamed
    assert "__builtin_prefetch(" not in conv.source(spec, SIMT, "conv")


def test_text_is_deterministic_and_small(style: tuple[Device, int]) -> None:
    device, block = style
    spec = make(block, 64, 64, (56, 56), **PADDED)
    text = conv.source(spec, device, "conv_1")
    assert text == conv.source(spec, device, "conv_1")
    assert len(text.splitlines()) < 140
    assert "reqd_work_group_size" not in text
    assert "barrier" not in text
