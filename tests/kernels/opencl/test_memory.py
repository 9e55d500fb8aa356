"""Every kernel that can have its maps in images or in float16: the same results as from float32 in buffers, and more.

``wide`` are the CPU's blocks, of twice as many channels as a GPU's vector.

The reference is numpy or onnxruntime, for inputs as the memory holds them. Images are larger than their maps, which do
not begin where the image does, and are full of NaN elsewhere: what is read beside a map shows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hetpart.errors import HetpartError, InternalError
from hetpart.graph.epilogue import Step
from hetpart.graph.evaluate import apply_steps
from hetpart.graph.layout import Blocked, Halo, Image, Plain, pack, unpack
from hetpart.kernels.kernel import Device, Texture
from hetpart.kernels.opencl import generator
from hetpart.kernels.spec import (
    ConvSpec,
    ConvTransposeSpec,
    EltwiseSpec,
    GlobalPoolSpec,
    InstanceNormSpec,
    PadSpec,
    PoolSpec,
    RepackSpec,
    ResizeSpec,
)
from tests.kernels.opencl.conftest import SIMT, STYLES, TILE, in_memory, rounded
from tests.kernels.opencl.test_conv import convolve, make
from tests.numerics import relative_error

MEMORIES = ("image-float32", "image-float16", "buffer-float16", "wide-float16")
LIMIT = {"image-float32": 2e-6, "image-float16": 1e-3, "buffer-float16": 1e-3, "wide-float16": 1e-3}
"""Half a unit in the last place of float16 is 4.9e-4 of the value."""

CONVOLUTIONS = {
    "pointwise": {"c": 20, "out_c": 24, "size": (5, 7), "kernel": (1, 1)},
    "pointwise-strided": {"c": 9, "out_c": 7, "size": (9, 11), "kernel": (1, 1), "strides": (2, 2)},
    "3x3-tails": {"c": 11, "out_c": 13, "size": (5, 9), "n": 2, "pads": (1, 1, 1, 1)},
    "uneven": {"c": 6, "out_c": 4, "size": (8, 9), "kernel": (2, 5), "strides": (1, 3), "pads": (0, 1, 1, 2)},
    "dilated": {"c": 5, "out_c": 8, "size": (11, 10), "dilations": (2, 3), "pads": (2, 3, 2, 3)},
    "first": {"c": 3, "out_c": 12, "size": (17, 18), "kernel": (7, 7), "strides": (2, 2), "pads": (3, 3, 3, 3)},
    "groups-of-blocks": {"c": 16, "out_c": 24, "size": (6, 7), "group": 2, "n": 2, "pads": (1, 1, 1, 1)},
    "depthwise": {"c": 10, "out_c": 10, "size": (9, 15), "group": 10, "n": 2, "pads": (1, 1, 1, 1)},
    "depthwise-strided": {
        "c": 17, "out_c": 17, "size": (9, 14), "group": 17, "strides": (2, 2), "kernel": (5, 5), "pads": (2, 2, 1, 2)
    },
}  # fmt: skip


WEIGHTS_IN_BUFFERS = ("3x3-tails", "groups-of-blocks", "depthwise")


@pytest.mark.parametrize(
    ("case", "memory", "max_image"),
    [(case, memory, 16384) for case in CONVOLUTIONS for memory in MEMORIES]
    + [(case, "image-float16", 8) for case in WEIGHTS_IN_BUFFERS],
)
def test_convolution(rig: Any, rng: np.random.Generator, case: str, memory: str, max_image: int) -> None:
    spec = in_memory(make(4, **CONVOLUTIONS[case]), memory)
    device = replace(SIMT, max_image=max_image)
    x = rounded(rng.standard_normal(spec.x.shape), memory)
    w = rounded(rng.standard_normal((spec.out.c, spec.x.c // spec.group, *spec.kernel)), memory)
    b = rng.standard_normal(spec.out.c).astype(np.float32)
    packed = generator(spec).pack(spec, device, {"w": w, "b": b})
    assert isinstance(packed[0], Texture) == (memory.startswith("image") and max_image > 8)
    found = rig.run(spec, device, [x], {"w": w, "b": b})
    assert relative_error(found, convolve(x, w, spec) + b.reshape(1, -1, 1, 1)) <= LIMIT[memory]


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution_by_tiles(rig: Any, rng: np.random.Generator, case: str) -> None:
    """On a device like this machine's, from the CPU's blocks of 32 channels."""
    spec = in_memory(make(16, **CONVOLUTIONS[case]), "wide-float16")
    x, w = (rounded(rng.standard_normal(s), "-float16") for s in (spec.x.shape, weights_of(spec)))
    b = rng.standard_normal(spec.out.c).astype(np.float32)
    found = rig.run(spec, TILE, [x], {"w": w, "b": b})
    assert relative_error(found, convolve(x, w, spec) + b.reshape(1, -1, 1, 1)) <= 1e-3


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", [ConvSpec, ConvTransposeSpec])
@pytest.mark.parametrize("group", [1, 3])
def test_sums_over_lanes_in_float16(
    rig: Any, rng: np.random.Generator, style: tuple[Device, int], kind: type, group: int
) -> None:
    """Grouped and transposed convolutions read single lanes."""
    device, block = style
    c, out_c = 12, 18
    outward = kind is ConvTransposeSpec
    x = rounded(rng.standard_normal((2, c, 5, 6)), "-float16")
    shape = (c, out_c // group, 3, 3) if outward else (out_c, c // group, 3, 3)
    w = rounded(rng.standard_normal(shape), "-float16")
    wanted = rig.onnx("ConvTranspose" if outward else "Conv", [x, w], strides=(2, 2), group=group)
    halos = (Halo(0, 1, 1, 0), Halo(2, 1, 1, 0))
    forms = (Blocked(*data.shape, block, halo) for data, halo in zip((x, wanted), halos, strict=True))
    spec = in_memory(kind(*forms, (3, 3), (2, 2), group=group, bias=False), "wide-float16")
    assert relative_error(rig.run(spec, device, [x], {"w": w}), wanted) <= 1e-3


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("channel", [0, 16, 5])
def test_copies_in_float16_keep_other_channels(
    rig: Any, rng: np.random.Generator, style: tuple[Device, int], channel: int
) -> None:
    device, block = style
    x, out = Blocked(2, 21, 5, 7, block, Halo(0, 1, 0, 1)), Blocked(2, 50, 5, 7, block, Halo(1, 1, 0, 1))
    spec = in_memory(RepackSpec(x, out, channel), "wide-float16")
    data, wanted = (rounded(rng.standard_normal(form.shape), "-float16") for form in (x, out))
    found = rig.stored(spec, device, [data], {}, out=pack(wanted, spec.out))
    wanted[:, channel : channel + 21] = data
    np.testing.assert_array_equal(unpack(found, spec.out), wanted)


def test_a_weight_beyond_float16_is_refused() -> None:
    spec = in_memory(make(4, 4, 4, (4, 4), (1, 1)), "wide-float16")
    constants = {"w": np.full(weights_of(spec), 1e5, np.float32), "b": np.zeros(4, np.float32)}
    with pytest.raises(HetpartError, match="65504"):
        generator(spec).pack(spec, SIMT, constants)


def weights_of(spec: ConvSpec) -> tuple[int, ...]:
    return (spec.out.c, spec.x.c // spec.group, *spec.kernel)


@pytest.mark.parametrize("memory", MEMORIES)
def test_epilogue(rig: Any, rng: np.random.Generator, memory: str) -> None:
    bare = make(4, 7, 10, (6, 9), n=2, pads=(1, 1, 1, 1))
    n, c, h, w = bare.out.shape
    operands = (Blocked(n, c, h, w, 4, Halo(0, 1, 2, 0)), Blocked(1, c, 1, 1, 4), Blocked(n, 1, h, w, 4))
    steps = (Step("relu"), Step("add", operand=0), Step("sub", operand=2, reverse=True), Step("mul", operand=1))
    spec = in_memory(replace(bare, steps=steps, operands=operands), memory)
    x, weights, *others = (
        rounded(rng.standard_normal(shape), memory)
        for shape in (spec.x.shape, (10, 7, 3, 3), *(form.shape for form in operands))
    )
    b = rng.standard_normal(10).astype(np.float32)
    sums = convolve(x, weights, spec) + b.reshape(1, -1, 1, 1)
    wanted = apply_steps(sums, steps, [np.asarray(o, np.float64) for o in others])
    found = rig.run(spec, SIMT, [x, *others], {"w": weights, "b": b})
    assert relative_error(found, wanted) <= LIMIT[memory]


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("mode", ["max", "average"])
def test_pools(rig: Any, rng: np.random.Generator, memory: str, mode: str) -> None:
    bare = PoolSpec(Blocked(2, 6, 8, 9, 4), Blocked(2, 6, 4, 5, 4, Halo(1, 0, 0, 1)), mode, (3, 3), (2, 2),
                    pads=(1, 1, 0, 1))  # fmt: skip
    spec = in_memory(bare, memory)
    x = rounded(rng.standard_normal(spec.x.shape) - 5, memory)  # a zero from outside would be the maximum
    name = {"max": "MaxPool", "average": "AveragePool"}[mode]
    wanted = rig.onnx(name, [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 0, 1])
    assert relative_error(rig.run(spec, SIMT, [x]), wanted) <= LIMIT[memory]
    pooled = in_memory(GlobalPoolSpec(Blocked(2, 6, 8, 9, 4), Blocked(2, 6, 1, 1, 4), mode), memory)
    wanted = (x.max if mode == "max" else x.mean)(axis=(2, 3), keepdims=True)
    assert relative_error(rig.run(pooled, SIMT, [x]), wanted) <= LIMIT[memory]


@pytest.mark.parametrize("memory", MEMORIES)
def test_elementwise(rig: Any, rng: np.random.Generator, memory: str) -> None:
    form = Blocked(2, 6, 5, 7, 4, Halo(1, 1, 1, 1))
    steps = (Step("mul", operand=0), Step("sigmoid"))
    spec = in_memory(EltwiseSpec(form, replace(form, halo=Halo()), steps, (Blocked(1, 6, 1, 1, 4),)), memory)
    x, factor = (rounded(rng.standard_normal(shape), memory) for shape in (form.shape, (1, 6, 1, 1)))
    wanted = 1 / (1 + np.exp(-(x.astype(np.float64) * factor)))
    assert relative_error(rig.run(spec, SIMT, [x, factor]), wanted) <= LIMIT[memory]


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize(rig: Any, rng: np.random.Generator, memory: str, mode: str) -> None:
    low, high = (0, 0, 1, 2), (0, 1, 2, 2)
    weights = (0.0, 0.25, 0.5, 0.75) if mode == "linear" else (0.0,) * 4
    lines = tuple(zip(low, high if mode == "linear" else low, weights, strict=True))
    spec = in_memory(ResizeSpec(Blocked(2, 6, 3, 3, 4), Blocked(2, 6, 4, 4, 4), mode, lines, lines), memory)
    x = rounded(rng.standard_normal(spec.x.shape), memory)
    along = np.zeros((4, 3))
    for i, (a, b, weight) in enumerate(lines):
        along[i, a] += 1 - weight
        along[i, b] += weight
    wanted = np.einsum("yi,ncij,xj->ncyx", along, x, along)
    assert relative_error(rig.run(spec, SIMT, [x]), wanted) <= LIMIT[memory]


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_pad(rig: Any, rng: np.random.Generator, memory: str, mode: str) -> None:
    spec = in_memory(PadSpec(Blocked(2, 6, 4, 5, 4), Blocked(2, 6, 7, 9, 4), mode, (1, 2, 2, 2), 0.5), memory)
    x = rounded(rng.standard_normal(spec.x.shape), memory)
    extra = {"constant_values": 0.5} if mode == "constant" else {}
    wanted = np.pad(x, ((0, 0), (0, 0), (1, 2), (2, 2)), mode, **extra)  # type: ignore[call-overload]  # by mode
    np.testing.assert_array_equal(rig.run(spec, SIMT, [x]), wanted)


@pytest.mark.parametrize("memory", MEMORIES)
def test_instance_norm(rig: Any, rng: np.random.Generator, memory: str) -> None:
    form = Blocked(2, 6, 5, 7, 4)
    spec = in_memory(InstanceNormSpec(form, form, 1e-5, (Step("relu"),)), memory)
    x = rounded(rng.standard_normal(form.shape), memory)
    scale, b = rng.standard_normal((2, 6)).astype(np.float32)
    wanted = np.maximum(rig.onnx("InstanceNormalization", [x, scale, b], epsilon=1e-5), 0)
    assert relative_error(rig.run(spec, SIMT, [x], {"scale": scale, "b": b}), wanted) <= LIMIT[memory]


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("channels", [3, 6, 8])
def test_converters(rig: Any, rng: np.random.Generator, memory: str, channels: int) -> None:
    """Shared buffers and row-major tensors to and from private memory."""
    shared = Blocked(2, channels, 5, 7, 4, Halo(1, 2, 0, 1))
    rows = Plain(shared.shape)
    private = in_memory(RepackSpec(shared, shared), memory).out
    x = rounded(rng.standard_normal(shared.shape), memory)
    for form in (shared, rows):
        np.testing.assert_array_equal(rig.run(RepackSpec(form, private), SIMT, [x]), x)
        np.testing.assert_array_equal(rig.run(RepackSpec(private, form), SIMT, [x]), x)


@pytest.mark.parametrize("memory", MEMORIES)
def test_copy_into_a_concatenation(rig: Any, rng: np.random.Generator, memory: str) -> None:
    spec = in_memory(RepackSpec(Blocked(1, 6, 5, 7, 4), Blocked(1, 14, 5, 7, 4), 8), memory)
    x = rounded(rng.standard_normal(spec.x.shape), memory)
    found = rig.stored(spec, SIMT, [x], {})
    if isinstance(spec.out, Image):
        assert np.isnan(found[:, : 2 * 7]).all()
        inside = found[:, 2 * 7 :].reshape(5, 2, 7, 4).transpose(1, 3, 0, 2).reshape(8, 5, 7)
    else:
        first = 8 // spec.out.stored.block
        assert np.isnan(found[:, :first]).all()
        inside = found[0, first:].transpose(0, 3, 1, 2).reshape(8, 5, 7)
    np.testing.assert_array_equal(inside[:6], x[0])


def test_part_of_a_texel_cannot_be_written() -> None:
    for spec in (
        RepackSpec(Blocked(1, 4, 5, 7, 4), Blocked(1, 14, 5, 7, 4), 2),
        RepackSpec(Blocked(1, 6, 5, 7, 4), Blocked(1, 14, 5, 7, 4), 4),
    ):
        moved = in_memory(spec, "image-float32")
        with pytest.raises(InternalError, match="by vectors"):
            generator(moved).source(moved, SIMT, "copy")


def test_groups_within_blocks_have_no_image_variant() -> None:
    spec = in_memory(make(4, 6, 6, (4, 4), (1, 1), group=3), "image-float32")
    device: Device = SIMT
    with pytest.raises(InternalError, match="read from buffers"):
        generator(spec).source(spec, device, "grouped")
    assert isinstance(spec, ConvSpec)
