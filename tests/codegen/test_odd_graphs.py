"""Graphs that no exporter should write and ONNX allows, compiled for both processors and compared with onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from hetpart.build import build
from hetpart.compiler import Options
from hetpart.runtime.session import Session
from hetpart.verify import reference

ODD = """<ir_version: 9, opset_import: ["" : 18]>
odd (float[1,3,4,4] x, float[2,3] unread, float[4,3,1,1] w) => (
    float[2] k, float[2] k2, float[0,2] none, float[1,4,4,4] a, float[1,4,4,4] a2, float[1,8,4,4] y,
    float[1,4,0,4] cut, float s
) {
    ["*/ #error"] a = Conv(x, w)
    ["n/1"] a2 = Identity(a)
    ["n_1"] b = Relu(a2)
    y = Concat<axis=1>(b, b)
    k2 = Add(k, k)
    cut = Slice(b, four, four, two)
    s = ReduceSum<keepdims=0>(y)
}"""


def odd() -> onnx.ModelProto:
    """Outputs that are constants, empty, scalar or equal; nodes with one name in C; an initialiser as input."""
    random = np.random.default_rng(0)
    model = onnx.parser.parse_model(ODD)
    constants = {
        "w": random.standard_normal((4, 3, 1, 1), np.float32), "k": np.float32([1, np.inf]),
        "none": np.zeros((0, 2), np.float32), "four": np.array([4]), "two": np.array([2]),
    }  # fmt: skip
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    names = {"y": "out/../put */ é", "unread": "a b", "s": "main"}
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
    for node in model.graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(name, name) for name in values]
    return model


@pytest.mark.parametrize("strategy", ["cpu", "gpu"])
def test_odd_but_valid(strategy: str, tmp_path: Path) -> None:
    report = build(odd(), "host", tmp_path / "odd", Options(strategy=strategy, workers=1))
    assert len(report.verify["outputs"]) == 8
    random = np.random.default_rng(1)
    inputs = {"x": random.standard_normal((1, 3, 4, 4), np.float32), "a b": np.ones((2, 3), np.float32)}
    with Session(tmp_path / "odd") as session:
        found = session.run(inputs)
    for name, wanted in reference(odd(), inputs).items():
        assert (found[name].shape, found[name].dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=1e-5)
