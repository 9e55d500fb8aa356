"""Which kernel kind each operator and variant gets; what no kernel can do is ``other``."""

from __future__ import annotations

import numpy as np
import pytest

from hetpart.passes.fuse import fuse
from tests.passes.support import draw, parse, positive

IMAGE = "float[1,4,6,6] x"
CONSTANTS = {
    "w": draw(4, 4, 3, 3), "w1": draw(4, 4, 3), "w3": draw(4, 4, 1, 1, 1), "b": draw(4), "s": positive(4),
    "m": draw(6, 5), "batch": draw(1, 6, 5), "c5": draw(5), "row": draw(6), "ax": np.array([2, 3]),
    "spatial": np.array([0, 0, 1, 2, 0, 0, 1, 0]), "channels": np.array([0, 1, 0, 0, 0, 0, 0, 0]),
    "crop": np.array([0, 0, -1, 0, 0, 0, 0, 0]), "fill": np.float32(2),
    "twice": np.array([1, 1, 2, 2], np.float32), "half": np.array([1, 1, 0.5, 0.5], np.float32),
    "two": np.array([2, 2], np.float32), "grow": np.array([1, 2, 2, 2], np.float32),
    "nothing": np.array([], np.float32), "sizes": np.array([1, 4, 9, 7]),
    "shape": np.array([4, 36]), "i": np.array([0, 1]), "nan": np.float32("nan"),
}  # fmt: skip

KINDS = {
    f"({IMAGE}) => (float y) {{ y = Conv(x, w, b) }}": "conv",
    "(float[1,4,6,6] x) => (float y) { y = Conv<pads=[1,1,1,1], group=1>(x, w) }": "conv",
    '(float[1,4,6,6] x) => (float y) { y = Conv<auto_pad="SAME_UPPER">(x, w) }': "other",
    f"({IMAGE}, float[4,4,1,1] k) => (float y) {{ y = Conv(x, k) }}": "other",
    f"({IMAGE}, float[4] c) => (float y) {{ y = Conv(x, w, c) }}": "other",
    "(float[1,4,6] x) => (float y) { y = Conv(x, w1) }": "other",
    "(float[1,4,2,2,2] x) => (float y) { y = Conv(x, w3) }": "other",
    f"({IMAGE}) => (float y) {{ y = ConvTranspose<strides=[2,2], output_padding=[1,1]>(x, w) }}": "conv_transpose",
    f"({IMAGE}) => (float y) {{ y = ConvTranspose<output_shape=[6,6]>(x, w) }}": "other",
    "(float[2,6] x) => (float y) { y = Gemm(x, m, c5) }": "dense",
    "(float[2,6] x) => (float y) { y = Gemm<alpha=0.5>(x, m) }": "other",
    "(float[2,6] x, float[5] c) => (float y) { y = Gemm(x, m, c) }": "other",
    "(float[2,3,6] x) => (float y) { y = MatMul(x, m) }": "dense",
    "(float[6] x) => (float y) { y = MatMul(x, m) }": "other",
    "(float[2,3,6] x) => (float y) { y = MatMul(x, batch) }": "other",
    "(float[5,3] x) => (float y) { y = MatMul(m, x) }": "other",
    "(float[2,3,6] x, float[6,4] z) => (float y) { y = MatMul(x, z) }": "matmul",
    "(float[2,6] x, float[6] z) => (float y) { y = MatMul(x, z) }": "other",
    f"({IMAGE}) => (float y) {{ y = MaxPool<kernel_shape=[2,2]>(x) }}": "pool",
    f"({IMAGE}) => (float y) {{ y, j = MaxPool<kernel_shape=[2,2]>(x) }}": "pool",
    f"({IMAGE}) => (float y, int64 j) {{ y, j = MaxPool<kernel_shape=[2,2]>(x) }}": "other",
    f"({IMAGE}) => (float y) {{ y = AveragePool<kernel_shape=[2,2], ceil_mode=1>(x) }}": "pool",
    "(float[1,4,6] x) => (float y) { y = MaxPool<kernel_shape=[2]>(x) }": "other",
    f"({IMAGE}) => (float y) {{ y = GlobalAveragePool(x) }}": "global_pool",
    "(float[1,4,6] x) => (float y) { y = GlobalMaxPool(x) }": "other",
    "(float[2,3,6] x) => (float y) { y = Softmax<axis=1>(x) }": "softmax",
    "(float[2,3,6] x) => (float y) { y = LogSoftmax(x) }": "softmax",
    "(float16[2,3,6] x) => (float16 y) { y = Softmax(x) }": "other",
    "(float[2,3,6] x) => (float y) { y = LayerNormalization(x, row) }": "layer_norm",
    "(float[2,3,6] x) => (float y, float mean) { y, mean = LayerNormalization(x, row) }": "other",
    "(float[2,3,6] x, float[6] g) => (float y) { y = LayerNormalization(x, g) }": "other",
    "(float[2,3,6] x) => (float y) { y = LayerNormalization<axis=1>(x, row) }": "other",
    f"({IMAGE}) => (float y) {{ y = InstanceNormalization(x, s, b) }}": "instance_norm",
    "(float[1,4,6] x) => (float y) { y = InstanceNormalization(x, s, b) }": "other",
    "(float[2,6] x, float[3,6] z) => (float y) { y = Concat<axis=0>(x, z) }": "concat",
    "(float[2,6] x) => (float y) { y = Concat<axis=1>(x, x) }": "concat",
    "(int64[2,6] x, int64[3,6] z) => (int64 y) { y = Concat<axis=0>(x, z) }": "other",
    f"({IMAGE}) => (float y) {{ y = Resize(x, , twice) }}": "resize",
    f"({IMAGE}) => (float y) {{ y = Resize(x, , nothing, sizes) }}": "resize",
    f"({IMAGE}) => (float y) {{ y = Resize(x, , , sizes) }}": "resize",
    f"({IMAGE}) => (float y) {{ y = Resize<axes=[2,3]>(x, , two) }}": "resize",
    f"({IMAGE}) => (float y) {{ y = Resize<axes=[3,2]>(x, , two) }}": "other",
    f'({IMAGE}) => (float y) {{ y = Resize<mode="linear">(x, , half) }}': "resize",
    f'({IMAGE}) => (float y) {{ y = Resize<mode="cubic">(x, , twice) }}': "other",
    f'({IMAGE}) => (float y) {{ y = Resize<mode="linear", antialias=1>(x, , half) }}': "other",
    f'({IMAGE}) => (float y) {{ y = Resize<mode="linear", exclude_outside=1>(x, , half) }}': "other",
    f'({IMAGE}) => (float y) {{ y = Resize<keep_aspect_ratio_policy="not_larger">(x, , , sizes) }}': "other",
    f"({IMAGE}) => (float y) {{ y = Resize(x, , grow) }}": "other",
    f"({IMAGE}) => (float y) {{ y = Pad(x, spatial) }}": "pad",
    f'({IMAGE}) => (float y) {{ y = Pad<mode="reflect">(x, spatial) }}': "pad",
    f"({IMAGE}) => (float y) {{ y = Pad(x, spatial, fill) }}": "pad",
    f"({IMAGE}, float f) => (float y) {{ y = Pad(x, spatial, f) }}": "other",
    f'({IMAGE}) => (float y) {{ y = Pad<mode="wrap">(x, spatial) }}': "other",
    f"({IMAGE}) => (float y) {{ y = Pad(x, channels) }}": "other",
    f"({IMAGE}) => (float y) {{ y = Pad(x, crop) }}": "other",
    f"({IMAGE}) => (float y) {{ y = Reshape(x, shape) }}": "view",
    "(int64[2,72] x) => (int64 y) { y = Reshape(x, shape) }": "view",
    "(bool[2,3] x) => (bool y) { y = Transpose(x) }": "transpose",
    "(float16[2,3] x) => (float16 y) { y = Transpose(x) }": "transpose",
    "(float[4,3] x) => (float y) { y = Gather(x, i) }": "other",
    "(float[4,3] x) => (float y) { y = ReduceMean(x, i) }": "other",
    "(float[2,0] x) => (float y) { y = Softmax(x) }": "other",
    "(float[2,3] x) => (float y) { y = Relu(x) }": "eltwise",
    "(float[2,3] x) => (float y) { y = Round(x) }": "other",
    "(float[2,3] x) => (float y) { y = Clip(x, nan) }": "other",
    "(float[2,3] x) => (float y) { y = Add(x, nan) }": "eltwise",
    "(float[2,3] x, float lo) => (float y) { y = Clip(x, lo) }": "other",
    "(float[2,3] x) => (float y, float z) { y = Relu(x) z = Relu(fill) }": "eltwise",
}


@pytest.mark.parametrize("text", KINDS)
def test_kind(text: str) -> None:
    used = {name: data for name, data in CONSTANTS.items() if f"({name}" in text or f" {name}" in text}
    graph = fuse(parse(text, **used))
    assert next(iter(graph)).kind == KINDS[text]


def test_constant_result_is_other_and_reads_nothing() -> None:
    graph = fuse(parse("(float[2,3] x) => (float y, float z) { y = Relu(x) z = Relu(c) }", c=draw(2)))
    unit = graph.units["Relu_1"]
    assert (unit.kind, unit.inputs, unit.outputs) == ("other", (), ("z",))


def test_foreign_domain_is_other() -> None:
    model = parse("(float[2,3] x) => (float y) { y = Relu(x) }")
    model.graph.node(0).domain = "custom"
    assert next(iter(fuse(model))).kind == "other"
