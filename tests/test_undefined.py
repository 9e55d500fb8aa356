"""Models whose results ONNX does not define everywhere, and models with constants that are no numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper, parser

import hetpart
from hetpart.compiler import Options
from hetpart.errors import HetpartError
from hetpart.runtime.session import Session
from hetpart.undefined import first_undefined

INF = np.float32(np.inf)
WEIGHT = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)


def model(nodes: str, x: str = "float[1,3,8,8]", y: str = "float[1,4,8,8]", **constants: Any) -> onnx.ModelProto:
    graph = f"g ({x} x) => ({y} y) {{ {nodes} }}"
    made = parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20]> {graph}')
    made.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items())
    return made


def run(source: onnx.ModelProto, folder: Path, x: np.ndarray | None = None, **options: Any) -> np.ndarray:
    """The output of `source`, compiled with the comparison, for `x` or ones."""
    hetpart.compile(source, output=folder / "out", options=Options(**options))
    with Session(folder / "out") as session:
        (port,) = session.manifest.inputs
        return session.run({"x": np.ones(port.shape, np.float32) if x is None else x})["y"]


CONV = "c = Conv<pads=[1,1,1,1]>(x, w)"
INFINITE = {
    "scaled": (f"{CONV} y = Mul(c, k)", -INF),
    "overflowing": (f"{CONV} y = Mul(c, k)", np.float32(3.4e38)),
    "channel": (f"{CONV} y = Mul(c, k)", np.array([1, -INF, 2, INF], np.float32).reshape(1, 4, 1, 1)),
    "bound": (f"{CONV} y = Clip(c, k)", INF),
    "thresholded": (f"{CONV} d = Add(c, k) y = ThresholdedRelu(d)", -INF),
}


@pytest.mark.parametrize("name", INFINITE)
@pytest.mark.parametrize("strategy", ["cpu", "gpu"])
def test_infinite_constants(tmp_path: Path, name: str, strategy: str) -> None:
    """onnxruntime's optimiser folds them into weights, which makes NaN: compared is what the model says."""
    nodes, constant = INFINITE[name]
    if (name, strategy) == ("thresholded", "gpu"):
        strategy = "cpu"  # has no kernel there
    assert not np.isnan(run(model(nodes, w=WEIGHT, k=constant), tmp_path, strategy=strategy)).any()


@pytest.mark.parametrize(("op", "opposite"), [("Max", -INF), ("Min", INF)])
def test_max_and_min_keep_a_constant_nan(tmp_path: Path, op: str, opposite: np.float32) -> None:
    constant = np.array([opposite, np.nan, 0.5, np.nan], np.float32).reshape(1, 4, 1, 1)
    found = run(model(f"{CONV} y = {op}(c, k)", w=WEIGHT, k=constant), tmp_path)
    assert np.isnan(found).any(axis=(0, 2, 3)).tolist() == [False, True, False, True]


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_max_and_min_with_nan_alone(tmp_path: Path, op: str) -> None:
    assert np.isnan(run(model(f"{CONV} y = {op}(c, k)", w=WEIGHT, k=np.float32(np.nan)), tmp_path)).all()


@pytest.mark.parametrize("op", ["Div", "Mod"])
def test_a_division_of_integers_by_zero_ends_no_process(tmp_path: Path, op: str) -> None:
    source = parser.parse_model(
        f'<ir_version: 9, opset_import: ["" : 20]> g (int64[4] x, int64[4] k) => (int64[4] y) {{ y = {op}(x, k) }}'
    )
    hetpart.compile(source, output=tmp_path / "out")
    with Session(tmp_path / "out") as session:
        found = session.run({"x": np.array([7, 8, -9, 9]), "k": np.array([0, 3, 0, 4])})["y"]
    assert found[[1, 3]].tolist() == ([2, 2] if op == "Div" else [2, 1])


@pytest.mark.parametrize("strategy", ["cpu", "gpu"])
@pytest.mark.parametrize("window", ["MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>", "GlobalMaxPool"])
def test_pooling_keeps_nan_wherever_it_stands(tmp_path: Path, window: str, strategy: str) -> None:
    """And a model that makes NaN of some inputs is compared on others."""
    shape = "[1,3,4,4]" if window.startswith("Max") else "[1,3,1,1]"
    source = model(f"l = Log(x) y = {window}(l)", y=f"float{shape}")
    x = np.full((1, 3, 8, 8), 2, np.float32)
    x[0, 0, 0, 0] = x[0, 1, 4, 3] = x[0, 2, 7, 7] = -1
    found = run(source, tmp_path, x, strategy=strategy)
    where = np.isnan(found)
    if window.startswith("Max"):
        expected = np.zeros(found.shape, np.bool_)
        expected[0, 0, 0, 0] = expected[0, 1, 2, 1] = expected[0, 1, 2, 2] = expected[0, 2, 3, 3] = True
        assert np.array_equal(where, expected)
    else:
        assert where.all()
    assert np.allclose(found[~where], np.log(np.float32(2)))


UNDEFINED = {
    "nan": ("m = Mul(x, k) y = ArgMax<axis=1>(m)", "float[3,8]", "int64[3,1]", np.array([1, np.nan] * 4, np.float32)),
    "range": ("m = Mul(x, k) y = Cast<to=6>(m)", "float[3,8]", "int32[3,8]", np.float32(1e30)),
}


@pytest.mark.parametrize(("name", "says"), [("nan", "makes NaN"), ("range", "numbers that int32 does not have")])
def test_what_onnx_leaves_open_is_refused_and_named(tmp_path: Path, name: str, says: str) -> None:
    nodes, x, y, constant = UNDEFINED[name]
    with pytest.raises(HetpartError, match=says) as caught:
        hetpart.compile(model(nodes, x, y, k=constant), output=tmp_path / "out")
    assert (caught.value.code, caught.value.exit_code) == ("undefined-result", 2)
    assert caught.value.node
    assert list(tmp_path.iterdir()) == []


def test_the_first_undefined_node_is_found() -> None:
    source = ir.from_proto(
        onnx.shape_inference.infer_shapes(model("a = Sqrt(x) b = Exp(a) y = Log(b)", y="float[1,3,8,8]"))
    )
    assert first_undefined(source, {"x": np.ones((1, 3, 8, 8), np.float32)}) is None
    found = first_undefined(source, {"x": np.full((1, 3, 8, 8), -1, np.float32)})
    assert found is not None
    assert found[1].startswith("Sqrt")
