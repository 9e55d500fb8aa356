"""A small ONNX graph builder: seeded weights, shapes known at every step, layer helpers as exporters emit them.

Weights follow He et al. 2015 (variance 2 / fan-in), so that activations keep their scale through ReLU networks and the
outputs of a random model still tell inputs apart. Batch normalisation gets statistics that are neither 0 nor 1.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, defs, helper, numpy_helper
from onnx.shape_inference import infer_node_outputs

OPSET = 17
IR_VERSION = 8
"""Opset 17 and the IR version that came with it: what most exporters in the field still write by default."""


@dataclass(frozen=True)
class Value:
    """A tensor of the graph: its name, static shape and ONNX element type."""

    name: str
    shape: tuple[int, ...]
    dtype: int = TensorProto.FLOAT

    @property
    def channels(self) -> int:
        return self.shape[1]


Activation = Callable[["Builder", Value], Value]


class Builder:
    """Grows one ONNX graph node by node.

    Layers are methods that take and return `Value` s in NCHW. Every random draw comes from one generator that is
    seeded with (`seed`, `name`), so equal calls in equal order give equal bytes.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.random = np.random.default_rng([seed, zlib.crc32(name.encode())])
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._inputs: list[Value] = []
        self._types: dict[str, onnx.TypeProto] = {}
        self._constants: dict[str, onnx.TensorProto] = {}

    def input(self, name: str, shape: Sequence[int], dtype: int = TensorProto.FLOAT) -> Value:
        value = self._declare(name, helper.make_tensor_type_proto(dtype, shape))
        self._inputs.append(value)
        return value

    def normal(self, *shape: int, std: float = 1.0, mean: float = 0.0) -> np.ndarray:
        draw = self.random.standard_normal(shape, dtype=np.float32)
        draw *= np.float32(std)
        draw += np.float32(mean)
        return draw

    def uniform(self, low: float, high: float, *shape: int) -> np.ndarray:
        return (low + (high - low) * self.random.random(shape, dtype=np.float32)).astype(np.float32)

    def parameter(self, name: str, array: np.ndarray) -> Value:
        """An initialiser with a given name."""
        tensor = numpy_helper.from_array(array, name)
        self._initializers.append(tensor)
        if array.size <= 64:  # what shape inference may want to read: axes, shapes, pads, scales
            self._constants[name] = tensor
        return self._declare(name, helper.make_tensor_type_proto(tensor.data_type, array.shape))

    def op(self, op_type: str, *inputs: Value | np.ndarray | None, **attributes: Any) -> Value:
        """Append a node with one output. Arrays become initialisers, ``None`` an omitted optional input."""
        return self.ops(op_type, 1, *inputs, **attributes)[0]

    def ops(
        self, op_type: str, outputs: int, *inputs: Value | np.ndarray | None, **attributes: Any
    ) -> tuple[Value, ...]:
        """Append a node with several outputs."""
        name = f"{op_type}_{len(self._nodes)}"
        operands = []
        for index, value in enumerate(inputs):
            if isinstance(value, np.ndarray):
                value = self.parameter(f"{name}.{index}", value)
            operands.append(value.name if value else "")
        results = [f"{name}.out" if outputs == 1 else f"{name}.out{i}" for i in range(outputs)]
        node = helper.make_node(op_type, operands, results, name=name, **attributes)
        types = {operand: self._types[operand] for operand in operands if operand}
        data = {operand: self._constants[operand] for operand in operands if operand in self._constants}
        inferred = infer_node_outputs(
            defs.get_schema(op_type, OPSET), node, types, data,
            opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
        )  # fmt: skip
        self._nodes.append(node)
        return tuple(self._declare(result, inferred[result]) for result in results)

    def finish(self, **outputs: Value) -> onnx.ModelProto:
        """The model; `outputs` names its outputs, in order."""
        renamed = {value.name: name for name, value in outputs.items()}
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [renamed.get(name, name) for name in names]
        made = [name for node in self._nodes for name in node.output if name not in outputs]
        graph = helper.make_graph(
            self._nodes,
            self.name,
            [helper.make_value_info(value.name, self._types[value.name]) for value in self._inputs],
            [helper.make_value_info(name, self._types[value.name]) for name, value in outputs.items()],
            initializer=self._initializers,
            value_info=[helper.make_value_info(name, self._types[name]) for name in made],
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="hetpart zoo"
        )

    def conv(
        self,
        x: Value,
        channels: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        pad: int | None = None,
        group: int = 1,
        bias: bool = False,
        gain: float = 2.0,
    ) -> Value:
        """Convolution; `pad` defaults to half the kernel. `gain` is the weights' variance times fan-in."""
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        ph, pw = (kh // 2, kw // 2) if pad is None else (pad, pad)
        fan_in = x.channels // group * kh * kw
        weight = self.normal(channels, x.channels // group, kh, kw, std=math.sqrt(gain / fan_in))
        parameters = [weight, self.normal(channels, std=0.1)] if bias else [weight]
        return self.op(
            "Conv", x, *parameters,
            kernel_shape=[kh, kw], strides=[stride, stride], pads=[ph, pw, ph, pw], dilations=[1, 1], group=group,
        )  # fmt: skip

    def conv_transpose(
        self, x: Value, channels: int, kernel: int, *, stride: int, pad: int = 0, output_padding: int = 0
    ) -> Value:
        """Transposed convolution with bias; each output pixel sees (kernel / stride)^2 taps per input channel."""
        fan_in = x.channels * kernel * kernel / stride**2
        weight = self.normal(x.channels, channels, kernel, kernel, std=math.sqrt(2.0 / fan_in))
        return self.op(
            "ConvTranspose", x, weight, self.normal(channels, std=0.1),
            kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, dilations=[1, 1],
            output_padding=[output_padding] * 2, group=1,
        )  # fmt: skip

    def batch_norm(self, x: Value, *, scale: float = 1.0, epsilon: float = 1e-5) -> Value:
        """Inference batch normalisation; `scale` centres gamma (small at the end of a residual branch)."""
        c = x.channels
        return self.op(
            "BatchNormalization", x,
            scale * self.uniform(0.7, 1.3, c), self.normal(c, std=0.1), self.normal(c, std=0.1),
            self.uniform(0.75, 1.35, c), epsilon=epsilon,
        )  # fmt: skip

    def instance_norm(self, x: Value, *, scale: float = 1.0) -> Value:
        c = x.channels
        return self.op(
            "InstanceNormalization", x, scale * self.uniform(0.7, 1.3, c), self.normal(c, std=0.1), epsilon=1e-5
        )

    def layer_norm(self, x: Value, *, epsilon: float = 1e-6) -> Value:
        d = x.shape[-1]
        return self.op(
            "LayerNormalization", x, self.uniform(0.8, 1.2, d), self.normal(d, std=0.1), axis=-1, epsilon=epsilon
        )

    def dense(self, x: Value, features: int, *, gain: float = 1.0) -> Value:
        """Fully connected layer on (rows, k), as torch exports it: Gemm with a transposed weight."""
        k = x.shape[1]
        weight = self.normal(features, k, std=math.sqrt(gain / k))
        return self.op("Gemm", x, weight, self.normal(features, std=0.1), transB=1)

    def linear(self, x: Value, features: int, *, gain: float = 1.0) -> Value:
        """Fully connected layer on (..., k), as torch exports it: MatMul and Add."""
        k = x.shape[-1]
        product = self.op("MatMul", x, self.normal(k, features, std=math.sqrt(gain / k)))
        return self.op("Add", self.normal(features, std=0.1), product)

    def max_pool(self, x: Value, kernel: int, stride: int, *, pad: int = 0, ceil_mode: bool = False) -> Value:
        return self.op(
            "MaxPool", x,
            kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, ceil_mode=int(ceil_mode),
        )  # fmt: skip

    def concat(self, *values: Value, axis: int = 1) -> Value:
        return self.op("Concat", *values, axis=axis)

    def reshape(self, x: Value, *shape: int) -> Value:
        return self.op("Reshape", x, np.array(shape, dtype=np.int64))

    def transpose(self, x: Value, *perm: int) -> Value:
        return self.op("Transpose", x, perm=list(perm))

    def global_pool(self, x: Value) -> Value:
        """Global average pooling to (n, c)."""
        return self.op("Flatten", self.op("GlobalAveragePool", x), axis=1)

    def _declare(self, name: str, type_proto: onnx.TypeProto) -> Value:
        self._types[name] = type_proto
        tensor = type_proto.tensor_type
        return Value(name, tuple(dim.dim_value for dim in tensor.shape.dim), tensor.elem_type)


def relu(b: Builder, x: Value) -> Value:
    return b.op("Relu", x)


def relu6(b: Builder, x: Value) -> Value:
    return b.op("Clip", x, np.array(0, np.float32), np.array(6, np.float32))


def leaky_relu(b: Builder, x: Value) -> Value:
    return b.op("LeakyRelu", x, alpha=0.1)


def hard_swish(b: Builder, x: Value) -> Value:
    return b.op("HardSwish", x)


def identity(b: Builder, x: Value) -> Value:
    """No activation."""
    return x


def conv_bn(
    b: Builder,
    x: Value,
    channels: int,
    kernel: int,
    *,
    stride: int = 1,
    pad: int | None = None,
    group: int = 1,
    gain: float = 2.0,
    scale: float = 1.0,
    activation: Activation = relu,
) -> Value:
    """Convolution, batch normalisation, activation: the block most of these networks are made of."""
    y = b.conv(x, channels, kernel, stride=stride, pad=pad, group=group, gain=gain)
    return activation(b, b.batch_norm(y, scale=scale))
