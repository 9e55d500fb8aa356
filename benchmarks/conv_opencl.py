"""Convolutions of ResNet-50, MobileNetV2 and SqueezeNet: generated OpenCL kernels beside onnxruntime's CPU kernels.

    python benchmarks/conv_opencl.py [--block 4] [--only PART]

Both run on one core. OpenCL: thread CPU time of PoCL's ``basic`` device, which works in the calling thread; build is
that of the first call, compilation included (PoCL caches on disk; ``POCL_KERNEL_CACHE=0`` measures it). onnxruntime:
the profile of the Conv node alone, without the reorders around it. The best of several interleaved runs counts.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("POCL_DEVICES", "basic")
os.environ["POCL_MAX_PTHREAD_COUNT"] = "1"

import numpy as np  # PoCL reads its settings when it is loaded
import onnx
import onnxruntime
import pyopencl as cl
from onnx import TensorProto, helper, numpy_helper

from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Blocked, Halo, pack
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import generator
from hetpart.kernels.spec import ConvSpec

ROUNDS = 8

# name, input channels, output channels, input size, kernel, stride, depthwise, residual
Layer = tuple[str, int, int, int, int, int, bool, bool]
LAYERS: list[Layer] = [
    ("resnet 7x7/2", 3, 64, 224, 7, 2, False, False),
    ("resnet 1x1", 64, 64, 56, 1, 1, False, False),
    ("resnet 3x3", 64, 64, 56, 3, 1, False, False),
    ("resnet 1x1 +", 64, 256, 56, 1, 1, False, True),
    ("resnet 1x1", 256, 64, 56, 1, 1, False, False),
    ("resnet 3x3/2", 128, 128, 56, 3, 2, False, False),
    ("resnet 1x1/2", 256, 512, 56, 1, 2, False, False),
    ("resnet 3x3", 128, 128, 28, 3, 1, False, False),
    ("resnet 1x1 +", 128, 512, 28, 1, 1, False, True),
    ("resnet 1x1", 512, 128, 28, 1, 1, False, False),
    ("resnet 3x3", 256, 256, 14, 3, 1, False, False),
    ("resnet 1x1 +", 256, 1024, 14, 1, 1, False, True),
    ("resnet 1x1", 1024, 256, 14, 1, 1, False, False),
    ("resnet 3x3", 512, 512, 7, 3, 1, False, False),
    ("resnet 1x1 +", 512, 2048, 7, 1, 1, False, True),
    ("resnet 1x1", 2048, 512, 7, 1, 1, False, False),
    ("mobilenet 3x3/2", 3, 32, 224, 3, 2, False, False),
    ("mobilenet dw", 32, 32, 112, 3, 1, True, False),
    ("mobilenet 1x1", 16, 96, 112, 1, 1, False, False),
    ("mobilenet dw/2", 96, 96, 112, 3, 2, True, False),
    ("mobilenet 1x1", 96, 24, 56, 1, 1, False, False),
    ("mobilenet dw", 144, 144, 56, 3, 1, True, False),
    ("mobilenet 1x1 +", 144, 24, 56, 1, 1, False, True),
    ("mobilenet dw", 192, 192, 28, 3, 1, True, False),
    ("mobilenet 1x1", 32, 192, 28, 1, 1, False, False),
    ("mobilenet dw", 384, 384, 14, 3, 1, True, False),
    ("mobilenet 1x1", 96, 576, 14, 1, 1, False, False),
    ("mobilenet 1x1", 576, 96, 14, 1, 1, False, False),
    ("mobilenet dw", 960, 960, 7, 3, 1, True, False),
    ("mobilenet 1x1", 160, 960, 7, 1, 1, False, False),
    ("mobilenet 1x1", 960, 320, 7, 1, 1, False, False),
    ("mobilenet 1x1", 320, 1280, 7, 1, 1, False, False),
    ("squeezenet 1x1", 64, 16, 55, 1, 1, False, False),
    ("squeezenet 3x3", 16, 64, 55, 3, 1, False, False),
    ("squeezenet 3x3", 32, 128, 27, 3, 1, False, False),
    ("squeezenet 3x3", 64, 256, 13, 3, 1, False, False),
    ("squeezenet 1x1", 512, 1000, 13, 1, 1, False, False),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--block", type=int, default=16, help="16: tile style, as on the host; 4: SIMT style")
    parser.add_argument("--only", default="", help="layers whose name contains this")
    options = parser.parse_args()
    tile = options.block != 4
    device = Device(True, 32, (1, 1, 1)) if tile else Device(False, 16, (8, 8, 1))
    context = cl.Context([cl.get_platforms()[0].get_devices()[0]])
    print(f"{'layer':<30} {'ms':>8} {'ort ms':>8} {'ratio':>6} {'GFLOP/s':>8} {'build s':>8}  tile")
    for layer in LAYERS:
        if options.only in layer[0]:
            report(layer, options.block, device, context)


def report(layer: Layer, block: int, device: Device, context: Any) -> None:
    """Prints one line of the table."""
    spec = conv_spec(layer, block)
    rng = np.random.default_rng(0)
    x = rng.standard_normal(spec.x.shape, np.float32)
    w = rng.standard_normal((spec.out.c, spec.x.c // spec.group, *spec.kernel), np.float32)
    b = rng.standard_normal(spec.out.c, np.float32)
    operands = [rng.standard_normal(form.shape, np.float32) for form in spec.operands]

    module = generator(spec)
    launch = module.launch(spec, device)
    queue = cl.CommandQueue(context)
    arrays = [pack(x, spec.x), *(pack(o, f) for o, f in zip(operands, spec.operands, strict=True))]
    arrays += [*module.pack(spec, device, {"w": w, "b": b}), np.zeros(spec.out.physical_shape, np.float32)]
    flags = cl.mem_flags
    buffers = [cl.Buffer(context, flags.READ_WRITE | flags.COPY_HOST_PTR, hostbuf=a) for a in arrays]
    source = module.source(spec, device, "conv")
    started = time.thread_time()
    kernel = cl.Program(context, source).build().conv

    def run() -> float:
        before = time.thread_time()
        kernel(queue, launch.global_size, (1, 1, 1), *buffers)
        queue.finish()
        return time.thread_time() - before

    run()
    build = time.thread_time() - started
    session = onnx_session(spec, w, b)
    feeds = {"x": x} | {f"operand{i}": o for i, o in enumerate(operands)}
    ours = []
    for _ in range(ROUNDS):
        ours += [run(), run()]
        session.run(None, feeds)
    ort = conv_microseconds(session) / 1e6
    best = min(ours)
    name, c, out_c, size, *_ = layer
    text = next(line for line in source.splitlines() if "work-item computes" in line).partition("computes ")[2]
    label = f"{name} {c}->{out_c}@{size}"
    flops = 2 * spec.macs / best / 1e9
    print(
        f"{label:<30} {best * 1e3:8.3f} {ort * 1e3:8.3f} {best / ort:6.2f} {flops:8.1f} {build:8.2f}  {text}",
        flush=True,
    )


def conv_spec(layer: Layer, block: int) -> ConvSpec:
    """The layer with a relu, and an addition before it if it has a residual."""
    _, c, out_c, size, kernel, stride, depthwise, residual = layer
    pad = kernel // 2
    out_size = (size + 2 * pad - kernel) // stride + 1
    out = Blocked(1, out_c, out_size, out_size, block)
    steps = (*((Step("add", operand=0),) if residual else ()), Step("relu"))
    return ConvSpec(
        Blocked(1, c, size, size, block, Halo(pad, pad, pad, pad)),
        out,
        (kernel, kernel),
        (stride, stride),
        pads=(pad,) * 4,
        group=c if depthwise else 1,
        steps=steps,
        operands=(out,) if residual else (),
    )


def onnx_session(spec: ConvSpec, w: np.ndarray, b: np.ndarray) -> onnxruntime.InferenceSession:
    """The same layer in onnxruntime, one thread, with profiling on."""
    residual = bool(spec.operands)
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], strides=spec.strides, pads=spec.pads, group=spec.group),
        *([helper.make_node("Add", ["c", "operand0"], ["a"])] if residual else []),
        helper.make_node("Relu", ["a" if residual else "c"], ["o"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, spec.x.shape)]
    inputs += [helper.make_tensor_value_info("operand0", TensorProto.FLOAT, spec.out.shape)] if residual else []
    outputs = [helper.make_tensor_value_info("o", TensorProto.FLOAT, spec.out.shape)]
    graph = helper.make_graph(
        nodes, "layer", inputs, outputs, [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")]
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = f"{tempfile.gettempdir()}/hetpart_conv_opencl"
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def conv_microseconds(session: onnxruntime.InferenceSession) -> float:
    """The best time of the Conv node over all runs."""
    path = Path(session.end_profiling())
    events = json.loads(path.read_text())
    path.unlink()
    return float(min(e["dur"] for e in events if e["name"].endswith("_kernel_time") and "Conv" in e["args"]["op_name"]))


if __name__ == "__main__":
    main()
