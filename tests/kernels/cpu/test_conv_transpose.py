"""Transposed convolution against onnxruntime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Blocked, Halo
from hetpart.kernels.spec import ConvTransposeSpec
from tests.numerics import relative_error

RNG = np.random.default_rng(0)


def reference(x: np.ndarray, w: np.ndarray, b: np.ndarray, **attributes: object) -> np.ndarray:
    node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], **attributes)
    feeds = {"x": x, "w": w, "b": b}
    graph = helper.make_graph(
        [node], "transposed",
        [helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, v.shape) for k, v in feeds.items()],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)[0]


def compare(run_kernel, size, ins, outs, group, kernel, strides, dilations, pads, extra, block, bias=True):
    x = RNG.standard_normal((2, ins, *size)).astype(np.float32)
    w = RNG.standard_normal((ins, outs // group, *kernel)).astype(np.float32)
    b = RNG.standard_normal(outs).astype(np.float32) * bias
    want = reference(x, w, b, strides=strides, dilations=dilations, pads=pads, group=group, output_padding=extra)
    y = RNG.standard_normal(want.shape).astype(np.float32)
    spec = ConvTransposeSpec(
        Blocked(*x.shape, block, Halo(1, 2, 0, 1)), Blocked(*want.shape, block, Halo(1, 0, 1, 2)),
        kernel, strides, dilations, pads, group, bias, (Step("add", operand=0), Step("relu")),
        (Blocked(*want.shape, block),),
    )  # fmt: skip
    (got,) = run_kernel(spec, [x, y], {"w": w, "b": b} if bias else {"w": w})
    want = np.maximum(want.astype(np.float64) + y, 0)
    assert relative_error(got, want) <= 1e-6


@pytest.mark.parametrize(
    ("ins", "outs", "group", "kernel", "strides", "dilations", "pads", "extra", "block", "bias"),
    [
        (20, 12, 1, (3, 3), (2, 2), (1, 1), (1, 1, 1, 1), (1, 1), 16, True),
        (20, 12, 1, (2, 2), (2, 2), (1, 1), (0, 0, 0, 0), (0, 0), 4, False),
        (12, 24, 3, (4, 3), (3, 2), (1, 2), (1, 2, 0, 1), (0, 1), 8, True),  # groups within a block
        (20, 20, 20, (4, 4), (2, 2), (1, 1), (1, 1, 1, 1), (0, 0), 8, True),  # depthwise
        (32, 48, 2, (5, 5), (1, 3), (2, 1), (2, 1, 3, 0), (0, 2), 8, True),  # a block lies in one group
        (15, 15, 5, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), (0, 0), 4, True),  # groups and spare lanes
        (8, 8, 1, (2, 2), (4, 4), (1, 1), (0, 0, 0, 0), (1, 2), 8, True),  # phases without taps
    ],
)
def test_matches_onnxruntime(run_kernel, ins, outs, group, kernel, strides, dilations, pads, extra, block, bias):
    compare(run_kernel, (6, 9), ins, outs, group, kernel, strides, dilations, pads, extra, block, bias)


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_any_geometry(run_kernel, data):
    strides = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 4)))
    kernel = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 5)))
    dilations = data.draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    pads = tuple(data.draw(st.integers(0, (kernel[i % 2] - 1) * dilations[i % 2] // 2)) for i in range(4))
    extra = tuple(data.draw(st.integers(0, s - 1)) for s in strides)
    size = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 30)))
    if any((n - 1) * s + (k - 1) * d + 1 - p - q + e < 1 for n, s, k, d, p, q, e in
           zip(size, strides, kernel, dilations, pads[:2], pads[2:], extra, strict=True)):  # fmt: skip
        return
    compare(run_kernel, size, 5, 6, 1, kernel, strides, dilations, pads, extra, 4)
