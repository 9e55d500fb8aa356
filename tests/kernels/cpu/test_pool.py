"""Pooling and global pooling against onnxruntime and numpy."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from hetpart.errors import HetpartError
from hetpart.graph.layout import Blocked, Halo
from hetpart.kernels.cpu import pool
from hetpart.kernels.spec import GlobalPoolSpec, PoolSpec


def reference(x: np.ndarray, mode: str, include_pad: bool, ceil_mode: int, **window: tuple[int, ...]) -> np.ndarray:
    op, extra = ("MaxPool", {}) if mode == "max" else ("AveragePool", {"count_include_pad": int(include_pad)})
    node = helper.make_node(
        op, ["x"], ["y"], kernel_shape=window["kernel"], strides=window["strides"], dilations=window["dilations"],
        pads=window["pads"], ceil_mode=ceil_mode, **extra,
    )  # fmt: skip
    graph = helper.make_graph(
        [node], "pool",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]


@pytest.mark.parametrize("block", [4, 8, 16])
@pytest.mark.parametrize(
    ("mode", "include_pad", "ceil_mode", "kernel", "strides", "dilations", "pads"),
    [
        ("max", False, 0, (3, 3), (2, 2), (1, 1), (1, 1, 1, 1)),
        ("max", False, 1, (3, 2), (2, 2), (1, 1), (0, 1, 0, 0)),
        ("max", False, 0, (3, 3), (1, 2), (2, 3), (2, 1, 2, 2)),
        ("max", False, 0, (13, 13), (1, 1), (1, 1), (6, 6, 6, 6)),
        ("average", False, 1, (3, 3), (2, 2), (1, 1), (1, 1, 1, 1)),
        ("average", True, 1, (3, 2), (2, 3), (1, 1), (1, 0, 1, 1)),
        ("average", True, 0, (3, 3), (1, 2), (2, 3), (2, 1, 2, 2)),
        ("average", False, 0, (17, 19), (1, 1), (1, 1), (0, 0, 0, 0)),
    ],
)
def test_matches_onnxruntime(run_kernel, block, mode, include_pad, ceil_mode, kernel, strides, dilations, pads):
    x = np.random.default_rng(0).standard_normal((2, 10, 17, 19)).astype(np.float32)
    want = reference(x, mode, include_pad, ceil_mode, kernel=kernel, strides=strides, dilations=dilations, pads=pads)
    spec = PoolSpec(
        Blocked(*x.shape, block, Halo(1, 2, 3, 1)), Blocked(*want.shape, block, Halo(2, 1, 0, 1)),
        mode, kernel, strides, dilations, pads, include_pad,
    )  # fmt: skip
    (got,) = run_kernel(spec, [x])
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_window(run_kernel, data):
    kernel = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    strides = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pads = tuple(data.draw(st.integers(0, kernel[i % 2] - 1)) for i in range(4))
    mode = data.draw(st.sampled_from(["max", "average"]))
    include_pad = data.draw(st.booleans())
    x = np.random.default_rng(1).standard_normal((1, 5, data.draw(st.integers(4, 9)), data.draw(st.integers(4, 20))))
    x = x.astype(np.float32)
    want = reference(x, mode, include_pad, 0, kernel=kernel, strides=strides, dilations=(1, 1), pads=pads)
    spec = PoolSpec(Blocked(*x.shape, 4), Blocked(*want.shape, 4), mode, kernel, strides, (1, 1), pads, include_pad)
    (got,) = run_kernel(spec, [x])
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("kernel", [(3, 3), (2, 2), (1, 17)])
@pytest.mark.parametrize("block", [4, 16])
def test_a_maximum_keeps_nan_wherever_it_is(run_kernel, kernel, block):
    """In every window that holds one, and in no other; plus infinity is a number."""
    x = np.random.default_rng(2).standard_normal((1, 16, 7, 19)).astype(np.float32)
    for channel in range(16):
        x[0, channel, channel % 7, 3 * channel % 19] = np.nan
    x[0, :, 0, 18] = np.inf
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))
    spec = PoolSpec(Blocked(*x.shape, block), Blocked(*windows.shape[:4], block), "max", kernel)
    (got,) = run_kernel(spec, [x])
    np.testing.assert_array_equal(got, windows.max(axis=(4, 5)))


def test_maximum_of_minus_infinity(run_kernel):
    x = np.full((1, 4, 4, 4), -np.inf, np.float32)
    (got,) = run_kernel(PoolSpec(Blocked(1, 4, 4, 4, 4), Blocked(1, 4, 2, 2, 4), "max", (2, 2), (2, 2)), [x])
    assert (got == -np.inf).all()


def test_window_beyond_the_image_is_refused(isa):
    spec = PoolSpec(Blocked(1, 4, 4, 4, 4), Blocked(1, 4, 3, 2, 4), "max", (2, 2), (2, 2))
    with pytest.raises(HetpartError, match="outside") as caught:
        pool.prim_func(spec, isa, "k")
    assert caught.value.code == "empty-window"


@pytest.mark.parametrize("block", [4, 8, 16])
@pytest.mark.parametrize("shape", [(2, 20, 7, 7), (1, 5, 1, 1), (1, 16, 3, 2), (1, 3, 112, 113)])
def test_global(run_kernel, block, shape):
    x = np.random.default_rng(2).standard_normal(shape).astype(np.float32) + 3
    layouts = Blocked(*shape, block, Halo(1, 1, 1, 1)), Blocked(*shape[:2], 1, 1, block, Halo(1, 0, 0, 2))
    (mean,) = run_kernel(GlobalPoolSpec(*layouts, "average"), [x])
    np.testing.assert_allclose(mean, x.astype(np.float64).mean((2, 3), keepdims=True), rtol=1e-6)
    (largest,) = run_kernel(GlobalPoolSpec(*layouts, "max"), [x])
    np.testing.assert_array_equal(largest, x.max((2, 3), keepdims=True))
