"""Random chains of operators on plain tensors, compiled for both processors and compared with onnxruntime.

The feature maps of convolutional networks are in test_random_graphs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hetpart.build import build
from hetpart.compiler import Options
from hetpart.verify import TOLERANCE
from tests.codegen.test_random_graphs import examples

_UNARY = ("Relu", "Sigmoid", "Tanh", "Neg", "Abs", "Softplus", "HardSwish", "Erf", "Gelu")
_BINARY = ("Add", "Sub", "Mul", "Max", "Min")
_REDUCE = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceLogSumExp")


class Chain:
    """Grows a random graph of small tensors of rank 2 to 4; values stay near one, so that errors show."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.random = np.random.default_rng(draw(st.integers(0, 2**16)))
        shape = tuple(draw(st.lists(st.integers(1, 7), min_size=2, max_size=4)))
        self.input = shape
        self.values: list[tuple[str, tuple[int, ...]]] = [("x", shape)]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, data: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(data, name))
        return name

    def normal(self, *shape: int) -> str:
        return self.constant(self.random.standard_normal(shape, dtype=np.float32))

    def add(self, op: str, inputs: list[str], shape: tuple[int, ...], **attributes: object) -> None:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"{op}_{len(self.nodes)}", **attributes))
        self.values.append((name, shape))

    def grow(self) -> None:
        value, shape = self.draw(st.sampled_from(self.values[-3:]))
        rank = len(shape)
        axis = self.draw(st.integers(0, rank - 1))
        kind = self.draw(
            st.sampled_from(
                ["unary", "binary", "reduce", "softmax", "norm", "product", "move", "cut", "join", "resize"]
            )
        )
        if kind == "unary":
            self.add(self.draw(st.sampled_from(_UNARY)), [value], shape)
        elif kind == "binary":
            other = self.draw(st.sampled_from([value, self.normal(*shape), self.normal(shape[-1]), self.normal()]))
            self.add(self.draw(st.sampled_from(_BINARY)), [value, other], shape)
        elif kind == "reduce":
            kept = tuple(1 if i == axis else n for i, n in enumerate(shape))
            axes = self.constant(np.array([axis]))
            self.add(self.draw(st.sampled_from(_REDUCE)), [value, axes], kept, keepdims=1)
        elif kind == "softmax":
            self.add(self.draw(st.sampled_from(["Softmax", "LogSoftmax"])), [value], shape, axis=axis)
        elif kind == "norm":
            scale, bias = self.normal(*shape[axis:]), self.normal(*shape[axis:])
            self.add("LayerNormalization", [value, scale, bias], shape, axis=axis, epsilon=1e-2)
        elif kind == "product":
            width = self.draw(st.integers(1, 9))
            self.add("MatMul", [value, self.normal(shape[-1], width)], (*shape[:-1], width))
        elif kind == "move":
            perm = self.draw(st.permutations(range(rank)))
            self.add("Transpose", [value], tuple(shape[i] for i in perm), perm=perm)
        elif kind == "cut":
            start = self.draw(st.integers(0, shape[axis] - 1))
            inputs = [value, *(self.constant(np.array([n])) for n in (start, shape[axis], axis))]
            self.add("Slice", inputs, tuple(n - start if i == axis else n for i, n in enumerate(shape)))
        elif kind == "join":
            self.add("Concat", [value, value], tuple(2 * n if i == axis else n for i, n in enumerate(shape)), axis=axis)
        else:
            mode = self.draw(st.sampled_from(["nearest", "linear", "cubic"]))
            sizes = tuple(n + 1 if i == axis else n for i, n in enumerate(shape))
            self.add("Resize", [value, "", "", self.constant(np.array(sizes))], sizes, mode=mode)

    def model(self) -> onnx.ModelProto:
        read = {name for node in self.nodes for name in node.input}
        made = helper.make_tensor_value_info
        outputs = [made(name, TensorProto.FLOAT, shape) for name, shape in self.values[1:] if name not in read]
        inputs = [made("x", TensorProto.FLOAT, self.input)]
        graph = helper.make_graph(self.nodes, "chain", inputs, outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@st.composite
def chains(draw: st.DrawFn) -> onnx.ModelProto:
    chain = Chain(draw)
    for _ in range(draw(st.integers(1, 6))):
        chain.grow()
    return chain.model()


def check(model: onnx.ModelProto, strategy: str) -> None:
    """Compile, and compare what the bundle computes with onnxruntime."""
    onnx.checker.check_model(model, full_check=True)
    with tempfile.TemporaryDirectory() as folder:
        report = build(model, "host", Path(folder) / "bundle", Options(strategy=strategy, workers=1))
    assert all(found["rel_l2"] <= TOLERANCE for found in report.verify["outputs"].values())


@pytest.mark.parametrize("strategy", ["cpu", "gpu"])
@examples(4)
@given(model=chains())
def test_random_chains(model: onnx.ModelProto, strategy: str) -> None:
    check(model, strategy)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["cpu", "gpu", "heft"])
@examples(80)
@given(model=chains())
def test_many_random_chains(model: onnx.ModelProto, strategy: str) -> None:
    check(model, strategy)
