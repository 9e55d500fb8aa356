"""Every condition, on a node that holds it and on one that does not."""

from __future__ import annotations

import numpy as np
import pytest

from hetpart.oracle.profiles.conditions import CONDITIONS, violated
from hetpart.oracle.profiles.site import Site
from tests.oracle.profiles.support import model_of

MAP = "g (float[1,8,9,9] x) => (y) "
CONV = MAP + "{ y = Conv<group=%d, pads=[%s]>(x, w) }"

CASES: list[tuple[str, str, dict[str, object], str | None]] = [
    ("input-rank:4", MAP + "{ y = Relu(x) }", {}, None),
    ("input-rank:3,4", "g (float[2,8] x) => (y) { y = Relu(x) }", {}, "has 2 dimensions, not 3 or 4"),
    ("output-rank:2,4", MAP + "{ y = Flatten(x) }", {}, None),
    ("output-rank:2,4", MAP + "{ y = Reshape(x, s) }", {"s": np.array([8, 9, 9])}, "has 3 dimensions, not 2 or 4"),
    ("same-rank:4", MAP + "{ y = Add(x, b) }", {"b": np.float32(1)}, None),
    ("same-rank:4", MAP + "{ y = Add(x, b) }", {"b": (9,)}, None),
    ("same-rank:4", MAP + "{ y = Add(x, b) }", {"b": (9, 9)}, "b has 2 dimensions"),
    ("constant-rank:1,4", MAP + "{ y = Add(x, b) }", {"b": (1, 8, 1, 1)}, None),
    ("constant-rank:1,4", MAP + "{ y = Add(x, b) }", {"b": (8, 1, 1)}, "constant b has 3 dimensions"),
    ("broadcast", MAP + "{ y = Add(x, b) }", {"b": (8, 1, 1)}, None),
    ("broadcast", "g (float[1,8,9,9] x, float[8,9,9] b) => (y) { y = Add(x, b) }", {}, None),
    ("broadcast", "g (float[2,8,9,9] x, float[8,9,9] b) => (y) { y = Add(x, b) }", {}, "are not broadcast"),
    ("broadcast", "g (float[1,8,9,9] x, float[1,1] b) => (y) { y = Add(x, b) }", {}, None),
    ("broadcast", "g (float[1,8,9,9] x, float[9,9] b) => (y) { y = Add(x, b) }", {}, "are not broadcast"),
    ("max-inputs:2", MAP + "{ y = Max(x, x) }", {}, None),
    ("max-inputs:2", MAP + "{ y = Max(x, x, x) }", {}, "has 3 inputs, more than 2"),
    ("constant-weight", "g (float[2,8] x) => (y) { y = MatMul(x, w) }", {"w": (8, 3)}, None),
    ("constant-weight", "g (float[2,8] x, float[8,3] w) => (y) { y = MatMul(x, w) }", {}, "no constant"),
    ("index-rank:1", MAP + "{ y = Gather<axis=1>(x, i) }", {"i": np.array([1, 2])}, None),
    ("index-rank:1", MAP + "{ y = Gather<axis=1>(x, i) }", {"i": np.array(1)}, "have 0 dimensions, not 1"),
    ("axis:1", MAP + "{ y = Concat<axis=-3>(x, x) }", {}, None),
    ("axis:1", MAP + "{ y = Concat<axis=2>(x, x) }", {}, "along axis 2"),
    ("last-axis", MAP + "{ y = Softmax(x) }", {}, None),
    ("last-axis", MAP + "{ y = Softmax<axis=1>(x) }", {}, "along axis 1"),
    ("input-channels-of-many:4", "g (float[1,6,2,2] x) => (y) { y = Concat<axis=1>(x, x) }", {}, None),
    ("input-channels-of-many:4", MAP + "{ y = Concat<axis=1>(x, x, x) }", {}, None),
    ("input-channels-of-many:4", "g (float[1,6,2,2] x) => (y) { y = Concat<axis=1>(x, x, x) }", {}, "[6, 6, 6]"),
    ("output-channels:4", MAP + "{ y, z = Split<axis=1, num_outputs=2>(x) }", {}, None),
    ("output-channels:4", MAP + "{ y, z = Split<axis=1>(x, s) }", {"s": np.array([6, 2])}, "not [6, 2]"),
    ("equal-parts", MAP + "{ y, z = Split<axis=-3, num_outputs=2>(x) }", {}, None),
    ("equal-parts", MAP + "{ y, z = Split<axis=1>(x, s) }", {"s": np.array([6, 2])}, "its parts are [6, 2]"),
    ("group:1", CONV % (1, "0,0,0,0"), {"w": (4, 8, 3, 3)}, None),
    ("group:1", CONV % (2, "0,0,0,0"), {"w": (4, 4, 3, 3)}, "it has 2 groups"),
    ("depthwise", CONV % (8, "0,0,0,0"), {"w": (8, 1, 3, 3)}, None),
    ("depthwise", CONV % (2, "0,0,0,0"), {"w": (4, 4, 3, 3)}, "2 groups of 8 channels"),
    ("depth-multiplier:1", CONV % (8, "0,0,0,0"), {"w": (8, 1, 3, 3)}, None),
    ("depth-multiplier:1", CONV % (8, "0,0,0,0"), {"w": (16, 1, 3, 3)}, "makes 2 channels"),
    ("dilation:1", MAP + "{ y = MaxPool<kernel_shape=[2,2]>(x) }", {}, None),
    ("dilation:1", MAP + "{ y = MaxPool<kernel_shape=[2,2], dilations=[1,2]>(x) }", {}, "dilated by [1, 2]"),
    ("max-stride:3", MAP + "{ y = MaxPool<kernel_shape=[2,2], strides=[3,3]>(x) }", {}, None),
    ("max-stride:3", MAP + "{ y = MaxPool<kernel_shape=[2,2], strides=[1,4]>(x) }", {}, "[1, 4], more than 3"),
    ("dilation-or-stride", MAP + "{ y = Conv<dilations=[2,2]>(x, w) }", {"w": (4, 8, 3, 3)}, None),
    ("dilation-or-stride", MAP + "{ y = Conv<dilations=[2,2], strides=[2,2]>(x, w) }", {"w": (4, 8, 3, 3)}, "both"),
    ("filter-width:3", CONV % (1, "0,0,0,0"), {"w": (4, 8, 3, 3)}, None),
    ("filter-width:3", CONV % (1, "0,0,0,0"), {"w": (4, 8, 3, 5)}, "5 wide, not 3"),
    ("padding-same-or-valid", CONV % (1, "0,0,0,0"), {"w": (4, 8, 3, 3)}, None),
    ("padding-same-or-valid", CONV % (1, "1,1,1,1"), {"w": (4, 8, 3, 3)}, None),
    ("padding-same-or-valid", MAP + "{ y = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w) }", {"w": (4, 8, 3, 3)}, None),
    ("padding-same-or-valid", MAP + '{ y = Conv<auto_pad="SAME_LOWER">(x, w) }', {"w": (4, 8, 2, 2)}, None),
    ("padding-same-or-valid", CONV % (1, "0,0,1,1"), {"w": (4, 8, 2, 2)}, None),
    ("padding-same-or-valid", CONV % (1, "2,2,2,2"), {"w": (4, 8, 3, 3)}, "[2, 2, 2, 2] is neither"),
    ("padding-same-or-valid", CONV % (1, "1,0,1,0"), {"w": (4, 8, 3, 3)}, "is neither SAME nor VALID"),
    ("clip:0,6", MAP + "{ y = Clip(x, l, h) }", {"l": np.float32(0), "h": np.float32(6)}, None),
    ("clip:0,6", MAP + "{ y = Clip(x, l) }", {"l": np.float32(0)}, "clips to [0, inf]"),
    ("clip-from-zero", MAP + "{ y = Clip(x, l) }", {"l": np.float32(0)}, None),
    ("clip-from-zero", MAP + "{ y = Clip(x) }", {}, "from -inf"),
    ("keepdims", MAP + "{ y = GlobalAveragePool(x) }", {}, None),
    ("keepdims", MAP + "{ y = ReduceMean(x, a) }", {"a": np.array([2, 3])}, None),
    ("keepdims", MAP + "{ y = ReduceMean<keepdims=0>(x, a) }", {"a": np.array([2, 3])}, "drops"),
    ("reduce-axes", MAP + "{ y = ReduceMean(x, a) }", {"a": np.array([-1, 2])}, None),
    ("reduce-axes", MAP + "{ y = ReduceMean(x, a) }", {"a": np.array([1])}, None),
    ("reduce-axes", MAP + "{ y = GlobalAveragePool(x) }", {}, None),
    ("reduce-axes", MAP + "{ y = ReduceMean(x, a) }", {"a": np.array([3])}, "axes [3] of 4"),
    ("reduce-axes", MAP + "{ y = ReduceMean(x) }", {}, "axes [0, 1, 2, 3] of 4"),
    ("pad-mode:constant", MAP + "{ y = Pad(x, p) }", {"p": np.zeros(8, np.int64)}, None),
    ("pad-mode:constant", MAP + '{ y = Pad<mode="reflect">(x, p) }', {"p": np.zeros(8, np.int64)}, "mode is reflect"),
    ("only-mode:DCR", MAP + "{ y = DepthToSpace<blocksize=2>(x) }", {}, None),
    ("only-mode:DCR", MAP + '{ y = DepthToSpace<blocksize=2, mode="CRD">(x) }', {}, "mode is CRD"),
    ("resize-mode:linear", MAP + '{ y = Resize<mode="linear">(x, , s) }', {"s": np.float32([1, 1, 2, 2])}, None),
    ("resize-mode:linear", MAP + "{ y = Resize(x, , s) }", {"s": np.float32([1, 1, 2, 2])}, "mode is nearest"),
    ("coordinates:half_pixel", MAP + "{ y = Resize(x, , s) }", {"s": np.float32([1, 1, 2, 2])}, None),
    (
        "coordinates:half_pixel",
        MAP + '{ y = Resize<coordinate_transformation_mode="align_corners">(x, , s) }',
        {"s": np.float32([1, 1, 2, 2])},
        "is align_corners",
    ),
    ("max-output-side:18", MAP + "{ y = Resize(x, , s) }", {"s": np.float32([1, 1, 2, 2])}, None),
    ("max-output-side:18", MAP + "{ y = Resize(x, , s) }", {"s": np.float32([1, 1, 2, 3])}, "27 wide or high"),
    ("activation:Relu,Tanh", MAP + "{ y = Tanh(x) }", {}, None),
    ("activation:Relu,Tanh", MAP + "{ y = Elu(x) }", {}, "Elu is not among them: Relu, Tanh"),
    ("only:Relu", MAP + "{ y = Relu(x) }", {}, None),
    ("only:Relu", MAP + "{ y = Elu(x) }", {}, "Elu is not among them"),
    ("not:Equal", MAP + "{ y = Relu(x) }", {}, None),
    ("not:Equal", MAP + "{ y = Equal(x, x) }", {}, "Equal is not supported"),
    ("square-root", MAP + "{ y = Relu(x) }", {}, None),
    ("square-root", MAP + "{ y = Pow(x, e) }", {"e": np.float32(0.5)}, None),
    ("square-root", MAP + "{ y = Pow(x, e) }", {"e": np.float32(2)}, "only the square root"),
    ("not-affine", MAP + "{ y = InstanceNormalization(x, s, b) }", {"s": np.ones(8, np.float32), "b": (8,)}, None),
    ("not-affine", MAP + "{ y = InstanceNormalization(x, s, b) }", {"s": (8,), "b": (8,)}, "a scale and a bias"),
    ("cast", "g (float[2] x) => (bool[2] y) { y = Cast<to=9>(x) }", {}, None),
    ("cast", "g (float[2] x) => (int64[2] y) { y = Cast<to=7>(x) }", {}, "float32 to int64"),
    ("level:3", MAP + "{ y = Relu(x) }", {}, None),
    ("level:4", MAP + "{ y = Relu(x) }", {}, "from feature level 4 on"),
]


@pytest.mark.parametrize(("condition", "text", "constants", "message"), CASES)
def test_condition(condition: str, text: str, constants: dict[str, np.ndarray], message: str | None) -> None:
    (node,) = model_of(text, **constants).graph
    found = violated(condition, Site(node, level=3))
    if message is None:
        assert found is None
    else:
        assert found is not None
        assert found[0] == condition.partition(":")[0]
        assert message in found[1]
        assert found[2]


def test_every_condition_is_tried_both_ways() -> None:
    for holds in (True, False):
        assert {case[0].partition(":")[0] for case in CASES if (case[3] is None) == holds} == set(CONDITIONS)
