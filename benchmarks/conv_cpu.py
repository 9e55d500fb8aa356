"""GFLOP/s of our convolution and dense kernels, layer by layer, against onnxruntime's on one core of this machine.

    python benchmarks/conv_cpu.py [resnet50] [mobilenet_v2] [squeezenet1_1] [--rounds 9]

Both run in turn in every round, pinned to one core; the figures are medians. Ours is thread CPU time of a whole kernel
call on the layouts it has inside a network (halos included). onnxruntime's is the time of its Conv or Gemm node by its
own profile, without the reorders at the edge of a one-layer model. A layer's residual addition is fused on both sides.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Blocked, Halo, Plain, pack
from hetpart.kernels.cpu import generator
from hetpart.kernels.cpu.build import aligned, host_isa, load
from hetpart.kernels.spec import ConvSpec, DenseSpec


@dataclass(frozen=True)
class Layer:
    """A square convolution with its activation; `size` is the input's height and width. Dense if `size` is 0."""

    c: int
    out_c: int
    size: int
    kernel: int = 1
    stride: int = 1
    pad: int = 0
    group: int = 1
    residual: bool = False
    activation: str = "Relu"  # or Clip (ReLU6) or nothing

    def __str__(self) -> str:
        if not self.size:
            return f"dense {self.c}->{self.out_c}"
        kind = "depthwise" if self.group > 1 else "conv"
        extras = f"{f' /{self.stride}' if self.stride > 1 else ''}{' +residual' if self.residual else ''}"
        return f"{kind} {self.kernel}x{self.kernel} {self.c}->{self.out_c} @{self.size}{extras}"

    @property
    def macs(self) -> int:
        out = (self.size + 2 * self.pad - self.kernel) // self.stride + 1 if self.size else 1
        return self.c // self.group * self.out_c * out * out * self.kernel**2


def resnet50() -> Iterator[Layer]:
    yield Layer(3, 64, 224, 7, 2, 3)
    c = 64
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            size = 56 >> stage
            stride = 2 if stage and not block else 1
            wide = size * stride
            yield Layer(c, width, wide)
            yield Layer(width, width, wide, 3, stride, 1)
            if not block:
                yield Layer(c, 4 * width, wide, 1, stride, activation="")
            yield Layer(width, 4 * width, size, residual=True)
            c = 4 * width
    yield Layer(2048, 1000, 0, activation="")


def mobilenet_v2() -> Iterator[Layer]:
    yield Layer(3, 32, 224, 3, 2, 1, activation="Clip")
    c, size = 32, 112
    for expand, out_c, blocks, first_stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
    ):  # fmt: skip
        for block in range(blocks):
            stride = first_stride if not block else 1
            if expand > 1:
                yield Layer(c, c * expand, size, activation="Clip")
            yield Layer(c * expand, c * expand, size, 3, stride, 1, group=c * expand, activation="Clip")
            size //= stride
            yield Layer(c * expand, out_c, size, residual=block > 0, activation="")
            c = out_c
    yield Layer(320, 1280, 7, activation="Clip")
    yield Layer(1280, 1000, 0, activation="")


def squeezenet1_1() -> Iterator[Layer]:
    yield Layer(3, 64, 224, 3, 2)
    c = 64
    for size, squeeze in ((55, 16), (55, 16), (27, 32), (27, 32), (13, 48), (13, 48), (13, 64), (13, 64)):
        yield Layer(c, squeeze, size)
        yield Layer(squeeze, 4 * squeeze, size)
        yield Layer(squeeze, 4 * squeeze, size, 3, 1, 1)
        c = 8 * squeeze
    yield Layer(512, 1000, 13)


MODELS = {"resnet50": resnet50, "mobilenet_v2": mobilenet_v2, "squeezenet1_1": squeezenet1_1}
ISA = host_isa()


class Ours:
    """The layer's kernel, on memory as in a network: the next layer wants a halo of 1 around narrow outputs."""

    def __init__(self, layer: Layer, arrays: dict[str, np.ndarray]) -> None:
        spec = self._spec(layer)
        module = generator(spec)
        kernel = load([module.prim_func(spec, ISA, "kernel")], ISA)["kernel"]
        inputs = [pack(arrays[name], layout) for name, layout in zip("xr", (spec.x, *spec.operands), strict=False)]
        constants = module.pack(spec, ISA, {"w": arrays["w"], "b": arrays["b"]})
        stored = [aligned(a.shape) for a in (*inputs, *constants)]
        for copy, array in zip(stored, (*inputs, *constants), strict=True):
            copy[...] = array
        arguments = (*stored, aligned(spec.out.physical_shape), 0, module.extent(spec, ISA))
        self.call = lambda: kernel(*arguments)
        self.seconds: list[float] = []

    @staticmethod
    def _spec(layer: Layer) -> ConvSpec | DenseSpec:
        if not layer.size:
            return DenseSpec(Plain((1, layer.c)), Plain((1, layer.out_c)), 1, layer.c, layer.out_c)
        block = ISA.lanes
        out_size = (layer.size + 2 * layer.pad - layer.kernel) // layer.stride + 1
        around = Halo(layer.pad, layer.pad, layer.pad, layer.pad)
        x = Blocked(1, layer.c, layer.size, layer.size, min(block, layer.c), around)
        out_halo = Halo(1, 1, 1, 1) if layer.kernel == 1 and layer.out_c < 4 * layer.c else Halo()
        out = Blocked(1, layer.out_c, out_size, out_size, block, out_halo)
        steps = [Step("add", operand=0)] if layer.residual else []
        steps += {"Relu": [Step("relu")], "Clip": [Step("clip", (0.0, 6.0))], "": []}[layer.activation]
        operands = (Blocked(1, layer.out_c, out_size, out_size, block),) if layer.residual else ()
        square = (layer.kernel, layer.kernel), (layer.stride, layer.stride), (1, 1), (layer.pad,) * 4
        return ConvSpec(x, out, *square, layer.group, True, tuple(steps), operands)

    def measure(self) -> None:
        self.call()
        start = time.thread_time()
        self.call()
        self.seconds.append(time.thread_time() - start)


class Onnxruntime:
    """The same layer as a model. A residual comes out of another convolution, so that it is in blocked layout too."""

    def __init__(self, layer: Layer, arrays: dict[str, np.ndarray]) -> None:
        nodes = [self._anchor(layer)]
        weights = {"w": arrays["w"].T.copy() if not layer.size else arrays["w"], "b": arrays["b"]}
        self.feed = {"x": arrays["x"]}
        if layer.residual:
            weights["rw"] = np.ones((layer.out_c, 1, 1, 1), np.float32)
            nodes.insert(0, helper.make_node("Conv", ["r", "rw"], ["rr"], group=layer.out_c))
            nodes.append(helper.make_node("Add", ["y0", "rr"], ["y1"]))
            self.feed["r"] = arrays["r"]
        if layer.activation == "Clip":
            weights |= {"lo": np.float32(0), "hi": np.float32(6)}
        if layer.activation:
            bounds = ["lo", "hi"] if layer.activation == "Clip" else []
            nodes.append(helper.make_node(layer.activation, [nodes[-1].output[0], *bounds], ["y2"]))
        graph = helper.make_graph(
            nodes,
            "layer",
            [helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, a.shape) for k, a in self.feed.items()],
            [helper.make_tensor_value_info(nodes[-1].output[0], onnx.TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.asarray(a), name) for name, a in weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_profiling = True
        options.log_severity_level = 3
        self.folder = tempfile.TemporaryDirectory(prefix="hetpart-bench-")
        options.profile_file_prefix = str(Path(self.folder.name) / "profile")
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.measure = lambda: [self.session.run(None, self.feed) for _ in range(2)] and None

    @staticmethod
    def _anchor(layer: Layer) -> onnx.NodeProto:
        if not layer.size:
            return helper.make_node("Gemm", ["x", "w", "b"], ["y0"], transB=1)
        return helper.make_node(
            "Conv", ["x", "w", "b"], ["y0"], group=layer.group, pads=[layer.pad] * 4, strides=[layer.stride] * 2
        )

    def median(self) -> float:
        """Seconds of the slowest Conv or Gemm node (the other one makes the residual)."""
        durations: dict[str, list[int]] = {}
        with open(self.session.end_profiling()) as file:
            for event in json.load(file):
                operator = event.get("args", {}).get("op_name", "")
                is_kernel = event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
                if is_kernel and operator in ("Conv", "FusedConv", "Gemm", "FusedGemm"):
                    durations.setdefault(event["name"], []).append(event["dur"])
        self.folder.cleanup()
        return max(float(np.median(d)) for d in durations.values()) * 1e-6


def arrays_of(layer: Layer) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    out = (layer.size + 2 * layer.pad - layer.kernel) // layer.stride + 1 if layer.size else 1
    conv = bool(layer.size)
    shapes = {
        "x": (1, layer.c, layer.size, layer.size) if conv else (1, layer.c),
        "w": (layer.out_c, layer.c // layer.group, layer.kernel, layer.kernel) if conv else (layer.c, layer.out_c),
        "b": (layer.out_c,),
        "r": (1, layer.out_c, out, out),
    }
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def compare(layer: Layer, rounds: int) -> tuple[float, float]:
    """Median seconds of our kernel and of onnxruntime's."""
    arrays = arrays_of(layer)
    ours, theirs = Ours(layer, arrays), Onnxruntime(layer, arrays)
    for _ in range(rounds):
        theirs.measure()
        ours.measure()
    return float(np.median(ours.seconds)), theirs.median()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", choices=[*MODELS, []], help="all by default")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for name in options.models or MODELS:
        totals = np.zeros(2)
        print(f"\n{name:<40} {'times':>5} {'ours':>8} {'ort':>8}  GFLOP/s   {'ours':>8} {'ort':>8}  us")
        for layer, count in Counter(MODELS[name]()).items():
            seconds = np.array(compare(layer, options.rounds))
            totals += count * seconds
            rate, micros = 2e-9 * layer.macs / seconds, 1e6 * seconds
            print(
                f"{layer!s:<40} {count:>5} {rate[0]:8.1f} {rate[1]:8.1f}           {micros[0]:8.0f} {micros[1]:8.0f}"
                f"  x{micros[0] / micros[1]:.2f}",
                flush=True,
            )
        print(
            f"{'all layers':<40} {'':>33} {totals[0] * 1e3:8.2f} {totals[1] * 1e3:8.2f} ms x{totals[0] / totals[1]:.2f}"
        )


if __name__ == "__main__":
    main()
