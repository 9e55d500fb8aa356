"""Random small networks, compiled for this machine with each strategy and run on both processors."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hetpart.build import build
from hetpart.compiler import Options
from hetpart.verify import HALF_STORAGE_TOLERANCE, HALF_TOLERANCE, TOLERANCE
from tests.test_precision import needs_float16


class Network:
    """Grows a random network of feature maps; weights keep activations in range."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.random = np.random.default_rng(draw(st.integers(0, 2**16)))
        self.size = draw(st.sampled_from([6, 7, 9]))
        channels = draw(st.sampled_from([3, 8, 16]))
        self.input = (1, channels, self.size, self.size)
        self.maps = [("x", channels)]  # all of one size
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, *shape: int) -> str:
        name = f"w{len(self.weights)}"
        fan_in = max(1, int(np.prod(shape[1:])))
        data = self.random.standard_normal(shape).astype(np.float32) / np.float32(fan_in) ** 0.5
        self.weights.append(numpy_helper.from_array(data, name))
        return name

    def add(self, op: str, inputs: list[str], channels: int, **attributes: object) -> None:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"{op}_{len(self.nodes)}", **attributes))
        self.maps.append((name, channels))

    def grow(self) -> None:
        value, channels = self.draw(st.sampled_from(self.maps[-4:]))
        kinds = ["conv", "conv", "depthwise", "pool", "act", "add", "concat", "scale", "channels", "crop"]
        kind = self.draw(st.sampled_from(kinds))
        if kind == "conv":
            kernel, dilation = self.draw(st.sampled_from([(1, 1), (3, 1), (3, 2)]))
            out = self.draw(st.sampled_from([4, 8, 20, 32]))
            pads = [dilation * (kernel // 2)] * 4
            weights = [self.constant(out, channels, kernel, kernel), self.constant(out)]
            self.add("Conv", [value, *weights], out, pads=pads, dilations=[dilation] * 2)
        elif kind == "depthwise":
            self.add("Conv", [value, self.constant(channels, 1, 3, 3)], channels, group=channels, pads=[1] * 4)
        elif kind == "pool":
            op = self.draw(st.sampled_from(["MaxPool", "AveragePool"]))
            self.add(op, [value], channels, kernel_shape=[3, 3], pads=[1] * 4)
        elif kind == "act":
            self.add(self.draw(st.sampled_from(["Relu", "Sigmoid", "HardSwish", "Tanh"])), [value], channels)
        elif kind == "add":
            same = [name for name, count in self.maps if count == channels]
            self.add("Add", [value, self.draw(st.sampled_from(same))], channels)
        elif kind == "concat":
            other, more = self.draw(st.sampled_from(self.maps))
            self.add("Concat", [value, other], channels + more, axis=1)
        elif kind == "channels":
            self.move_channels(value, channels)
        elif kind == "crop":
            bounds = [self.integers(*numbers) for numbers in ((1, 0), (self.size, -2), (2, 3))]
            self.add("Slice", [value, *bounds], channels)
            cropped, _ = self.maps.pop()
            self.add("Pad", [cropped, self.integers(0, 0, 1, 0, 0, 0, 0, 2)], channels)
        else:
            self.add("GlobalAveragePool", [value], channels)
            pooled, _ = self.maps.pop()
            self.add("Mul", [value, pooled], channels)

    def move_channels(self, value: str, channels: int) -> None:
        """A channel shuffle where the channels can be halved, and half of them."""
        if channels % 2 == 0:
            for op, argument in (("Reshape", (1, 2, channels // 2, self.size, -1)), ("Transpose", ()), ("Reshape", ())):
                inputs = [value]
                if op == "Reshape":
                    inputs.append(self.integers(*(argument or (1, channels, self.size, self.size))))
                self.add(op, inputs, channels, **({"perm": [0, 2, 1, 3, 4]} if op == "Transpose" else {}))
                value, _ = self.maps.pop()
        first, step = self.draw(st.sampled_from([(0, 1), (channels // 2, 1), (channels // 3, 2)]))
        bounds = [self.integers(number) for number in (first, channels, 1, step)]
        self.add("Slice", [value, *bounds], len(range(first, channels, step)))

    def integers(self, *numbers: int) -> str:
        name = f"i{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(numbers, np.int64), name))
        return name

    def model(self) -> onnx.ModelProto:
        read = {name for node in self.nodes for name in node.input}
        results = [(name, channels) for name, channels in self.maps[1:] if name not in read]
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.input)]
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, self.size, self.size])
            for name, channels in results
        ]
        graph = helper.make_graph(self.nodes, "random", inputs, outputs, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@st.composite
def networks(draw: st.DrawFn) -> onnx.ModelProto:
    network = Network(draw)
    for _ in range(draw(st.integers(2, 9))):
        network.grow()
    return network.model()


def check(model: onnx.ModelProto, strategy: str, target: str, precision: str = "fp32") -> None:
    onnx.checker.check_model(model, full_check=True)
    options = Options(strategy=strategy, precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        report = build(model, target, Path(folder) / "bundle", options, verify="segments")
    limit = {"fp32": TOLERANCE, "fp16": HALF_TOLERANCE if strategy != "gpu" else HALF_STORAGE_TOLERANCE}[precision]
    assert all(found["rel_l2"] <= limit for found in report.verify["outputs"].values())


def examples(count: int) -> settings:
    """Settings for slow examples, the same ones every time."""
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.mark.parametrize("strategy", ["cpu", "gpu", "heft"])
@examples(3)
@given(model=networks())
def test_random_networks(model: onnx.ModelProto, strategy: str) -> None:
    check(model, strategy, "host")


@pytest.mark.parametrize("strategy", ["ilp", "gpu"])
@examples(2)
@given(model=networks())
def test_random_networks_in_a_phones_layout(model: onnx.ModelProto, strategy: str) -> None:
    """With ``gpu`` they are in images, with converters at the borders."""
    check(model, strategy, "sd855")


HALF = [("gpu", "sd855"), pytest.param("heft", "host", marks=needs_float16)]


@pytest.mark.parametrize(("strategy", "target"), HALF)
@examples(2)
@given(model=networks())
def test_random_networks_in_float16(model: onnx.ModelProto, strategy: str, target: str) -> None:
    check(model, strategy, target, "fp16")


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "target"), HALF)
@examples(40)
@given(model=networks())
def test_many_random_networks_in_float16(model: onnx.ModelProto, strategy: str, target: str) -> None:
    check(model, strategy, target, "fp16")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["cpu", "gpu", "heft", "ilp"])
@examples(60)
@given(model=networks())
def test_many_random_networks(model: onnx.ModelProto, strategy: str) -> None:
    check(model, strategy, "host")
