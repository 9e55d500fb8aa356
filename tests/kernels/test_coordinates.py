"""Resize coordinates against onnxruntime, in one dimension, for every mode."""

import itertools

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from hetpart.errors import HetpartError
from hetpart.kernels.coordinates import resize_lines

COORDINATES = ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric", "align_corners", "asymmetric")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
SIZES = ((4, 8), (4, 7), (7, 4), (5, 5), (3, 1), (6, 13))


def model(source: int, target: int, **attributes: str) -> onnx.ModelProto:
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], name="resize", **attributes)
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [4], [1, 1, 1, target])
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 1, source])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1, target])],
        [sizes],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def check(source: int, target: int, **attributes: str) -> None:
    proto = model(source, target, **attributes)
    x = np.random.default_rng(0).standard_normal((1, 1, 1, source)).astype(np.float32)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": x})
    node = next(iter(ir.from_proto(proto).graph))
    lines = resize_lines(node, source, target, target / source)
    row = x[0, 0, 0].astype(np.float64)
    actual = [row[low] * (1 - weight) + row[high] * weight for low, high, weight in lines]
    np.testing.assert_allclose(actual, expected[0, 0, 0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("coordinate", "rounding"), list(itertools.product(COORDINATES, ROUNDINGS)))
def test_nearest(sizes: tuple[int, int], coordinate: str, rounding: str) -> None:
    if (sizes, coordinate, rounding) == ((3, 1), "half_pixel_symmetric", "floor"):
        pytest.skip("the coordinate is exactly 1 and onnxruntime's float32 falls just below it")
    check(*sizes, mode="nearest", coordinate_transformation_mode=coordinate, nearest_mode=rounding)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("coordinate", COORDINATES)
def test_linear(sizes: tuple[int, int], coordinate: str) -> None:
    check(*sizes, mode="linear", coordinate_transformation_mode=coordinate)


def test_cubic_is_refused() -> None:
    node = next(iter(ir.from_proto(model(4, 8, mode="cubic")).graph))
    with pytest.raises(HetpartError, match="cubic") as caught:
        resize_lines(node, 4, 8, 2.0)
    assert caught.value.code == "resize-mode"
