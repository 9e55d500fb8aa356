"""Sums and maxima over long rows and planes by work-groups; in every memory, with halos, and NaN kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Blocked, Halo, Plain
from hetpart.kernels.opencl import generator
from hetpart.kernels.spec import GlobalPoolSpec, InstanceNormSpec, LayerNormSpec, SoftmaxSpec, Spec
from tests.kernels.opencl.conftest import SIMT, TILE, in_memory, rounded
from tests.numerics import relative_error

MEMORIES = ("buffer-float32", "image-float32", "image-float16", "buffer-float16")
LIMIT = {"float32": 2e-6, "float16": 1e-3}
FORM = Blocked(2, 6, 11, 13, 4, Halo(1, 0, 2, 1))


def grouped(spec: Spec) -> bool:
    return bool(generator(spec).launch(spec, SIMT).grouped)


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("mode", ["max", "average"])
def test_global_pool(rig: Any, rng: np.random.Generator, memory: str, mode: str) -> None:
    spec = in_memory(GlobalPoolSpec(FORM, Blocked(2, 6, 1, 1, 4, Halo(1, 1, 0, 1)), mode), memory)
    assert grouped(spec)
    x = rounded(rng.standard_normal(FORM.shape) - 3, memory)
    wanted = (x.max if mode == "max" else x.astype(np.float64).mean)(axis=(2, 3), keepdims=True)
    assert relative_error(rig.run(spec, SIMT, [x]), wanted) <= LIMIT[memory.partition("-")[2]]


def test_a_nan_is_a_maximum(rig: Any, rng: np.random.Generator) -> None:
    x = rng.standard_normal(FORM.shape).astype(np.float32)
    x[1, 4, 7, 3] = np.nan
    found = rig.run(GlobalPoolSpec(FORM, Blocked(2, 6, 1, 1, 4), "max"), SIMT, [x])
    assert np.isnan(found[1, 4]).all()
    assert np.isfinite(np.delete(found.reshape(12), 10)).all()


@pytest.mark.parametrize("memory", MEMORIES)
def test_instance_norm(rig: Any, rng: np.random.Generator, memory: str) -> None:
    steps = (Step("relu"), Step("add", operand=0))
    spec = in_memory(InstanceNormSpec(FORM, FORM, 1e-5, steps, (FORM,)), memory)
    assert grouped(spec)
    x, other = (rounded(rng.standard_normal(FORM.shape), memory) for _ in range(2))
    scale, b = rng.standard_normal((2, 6)).astype(np.float32)
    wanted = np.maximum(rig.onnx("InstanceNormalization", [x, scale, b], epsilon=1e-5), 0) + other
    found = rig.run(spec, SIMT, [x, other], {"scale": scale, "b": b})
    assert relative_error(found, wanted) <= LIMIT[memory.partition("-")[2]]


@pytest.mark.parametrize(("rows", "length"), [(1, 1000), (3, 129)])
@pytest.mark.parametrize("log", [False, True])
def test_softmax(rig: Any, rng: np.random.Generator, rows: int, length: int, log: bool) -> None:
    form = Plain((rows, length))
    spec = SoftmaxSpec(form, form, rows, length, 1, log)
    assert grouped(spec)
    x = 5 * rng.standard_normal(form.shape).astype(np.float32)
    wanted = rig.onnx("LogSoftmax" if log else "Softmax", [x], axis=-1)
    assert relative_error(rig.run(spec, SIMT, [x]), wanted) <= 2e-6


@pytest.mark.parametrize("rms", [False, True])
def test_one_row_of_layer_norm(rig: Any, rng: np.random.Generator, rms: bool) -> None:
    form = Plain((1, 300))
    spec = LayerNormSpec(form, form, 1, 300, 1e-5, bias=False, rms=rms)
    assert grouped(spec)
    x, scale = rng.standard_normal((2, 300)).astype(np.float32)
    centred = x.astype(np.float64) - (0 if rms else x.mean(dtype=np.float64))
    wanted = centred / np.sqrt((centred**2).mean() + 1e-5) * scale
    assert relative_error(rig.run(spec, SIMT, [x.reshape(1, 300)], {"scale": scale}), wanted.reshape(1, 300)) <= 2e-6


def test_short_rows_and_tile_devices_need_no_groups() -> None:
    short, long = Plain((9, 100)), Plain((9, 1000))
    assert not grouped(SoftmaxSpec(short, short, 9, 100, 1))
    spec = SoftmaxSpec(long, long, 9, 1000, 1)
    assert not generator(spec).launch(spec, TILE).grouped
