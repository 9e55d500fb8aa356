"""The convolutions of zoo networks on one core: generated OpenCL kernels beside our CPU kernels.

    python -m benchmarks.conv_opencl [NETWORK ...]

Both are generated as for target host and run in turns, weights warm as far as caches reach; medians of thread CPU time.
PoCL's ``basic`` device works in the calling thread; build is that of the first call, compilation included (PoCL caches
on disk; ``POCL_KERNEL_CACHE=0``: measured). benchmarks/layers.py compares the CPU kernels with other engines.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("POCL_DEVICES", "basic")
os.environ["POCL_MAX_PTHREAD_COUNT"] = "1"

import numpy as np  # PoCL reads its settings when it is loaded
import pyopencl as cl

from examples.zoo import build as build_model
from hetpart.codegen.isa import target_isa
from hetpart.codegen.opencl import device_of
from hetpart.compiler import Options, prepare
from hetpart.graph.assign import assign
from hetpart.graph.layout import pack
from hetpart.kernels import cpu, opencl
from hetpart.kernels.cpu.build import aligned, load
from hetpart.kernels.isa import Isa
from hetpart.kernels.kernel import Device
from hetpart.kernels.select import select
from hetpart.kernels.spec import ConvSpec, ConvTransposeSpec, Spec
from hetpart.phases import Phases
from hetpart.targets import load_target
from hetpart.targets.schema import OpenclCodegen, Target

Convolution = ConvSpec | ConvTransposeSpec

NETWORKS = ["resnet18", "resnet50", "mobilenetv2", "squeezenet"]

ROUNDS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("networks", nargs="*", default=NETWORKS, help="of the zoo")
    options = parser.parse_args()
    target = load_target("host")
    isa, device = target_isa(target), opencl_device(target)
    context = cl.Context([cl.get_platforms()[0].get_devices()[0]])
    done: set[Spec] = set()
    ratios = []
    for name in options.networks:
        print(f"{name:<46} {'ms':>8} {'cpu ms':>8} {'ratio':>6} {'GFLOP/s':>8} {'build s':>8}  tile")
        specs = [spec for spec in convolutions(name, target.block) if spec not in done]
        ratios += [report(spec, isa, device, context) for spec in dict.fromkeys(specs)]
        done.update(specs)
    print(f"ratio: median {np.median(ratios):.2f}, worst {max(ratios):.2f} of {len(ratios)}")


def opencl_device(target: Target) -> Device:
    """The target's OpenCL device."""
    options = next(p.codegen for p in target.processors if isinstance(p.codegen, OpenclCodegen))
    return device_of(options)


def convolutions(name: str, block: int) -> list[Convolution]:
    """The convolutions of a network of the zoo, as a plan would have them computed."""
    units, _ = prepare(build_model(name), Options(), Phases())
    assignment = assign(units, block)
    calls = [call for unit in assignment.graph for call in select(unit, assignment)]
    return [call.spec for call in calls if isinstance(call.spec, ConvSpec | ConvTransposeSpec)]


def label_of(spec: Convolution) -> str:
    kind = "transposed" if isinstance(spec, ConvTransposeSpec) else f"group {spec.group}" if spec.group > 1 else ""
    (kh, kw), stride = spec.kernel, f"/{spec.strides[0]}" if spec.strides != (1, 1) else ""
    size = f"{spec.x.c}->{spec.out.c} @{spec.x.h}x{spec.x.w}"
    return f"{kh}x{kw}{stride} {size} {kind} {'+' * len(spec.operands)}"


def report(spec: Convolution, isa: Isa, device: Device, context: Any) -> float:
    """Prints one line of the table; returns the ratio of the times."""
    rng = np.random.default_rng(0)
    shapes = (spec.x.shape, *(form.shape for form in spec.operands))
    inputs = [rng.standard_normal(shape, np.float32) for shape in shapes]
    stored = [pack(array, form) for array, form in zip(inputs, (spec.x, *spec.operands), strict=True)]
    channels = (spec.x.c, spec.out.c) if isinstance(spec, ConvTransposeSpec) else (spec.out.c, spec.x.c)
    w = rng.standard_normal((channels[0], channels[1] // spec.group, *spec.kernel), np.float32)
    constants = {"w": w, "b": rng.standard_normal(spec.out.c, np.float32)}
    source = opencl.generator(spec).source(spec, device, "conv")
    started = time.thread_time()
    ours = on_opencl(spec, device, context, source, stored, constants)
    ours()
    build = time.thread_time() - started
    theirs = on_cpu(spec, isa, stored, constants)
    theirs()
    seconds = [(timed(ours), timed(theirs)) for _ in range(ROUNDS)]
    mine, other = np.median(seconds, axis=0)
    text = next(line for line in source.splitlines() if "work-item computes" in line).partition("computes ")[2]
    positions = spec.x if isinstance(spec, ConvTransposeSpec) else spec.out
    flops = 2 * w.size * positions.n * positions.h * positions.w / mine / 1e9
    print(
        f"{label_of(spec):<46} {mine * 1e3:8.3f} {other * 1e3:8.3f} {mine / other:6.2f} {flops:8.1f} {build:8.2f}"
        f"  {text}",
        flush=True,
    )
    return float(mine / other)


def timed(call: Callable[[], None]) -> float:
    """Thread CPU time of a second call, the first having warmed the caches."""
    call()
    before = time.thread_time()
    call()
    return time.thread_time() - before


def on_opencl(
    spec: Convolution,
    device: Device,
    context: Any,
    source: str,
    stored: Sequence[np.ndarray],
    constants: dict[str, Any],
) -> Callable[[], None]:
    module = opencl.generator(spec)
    launch = module.launch(spec, device)
    queue = cl.CommandQueue(context)
    arrays = [*stored, *module.pack(spec, device, constants), np.zeros(spec.out.physical_shape, np.float32)]
    flags = cl.mem_flags
    buffers = [cl.Buffer(context, flags.READ_WRITE | flags.COPY_HOST_PTR, hostbuf=a) for a in arrays]
    kernel = cl.Program(context, source).build().conv

    def run() -> None:
        kernel(queue, launch.global_size, (1, 1, 1), *buffers)
        queue.finish()

    return run


def on_cpu(spec: Convolution, isa: Isa, stored: Sequence[np.ndarray], constants: dict[str, Any]) -> Callable[[], None]:
    module = cpu.generator(spec)
    kernel = load([module.prim_func(spec, isa, "kernel")], isa)["kernel"]
    arrays = [*stored, *module.pack(spec, isa, constants), np.zeros(spec.out.physical_shape, np.float32)]
    copies = [aligned(array.shape) for array in arrays]
    for copy, array in zip(copies, arrays, strict=True):
        copy[...] = array
    extent = module.extent(spec, isa)
    return lambda: kernel(*copies, 0, extent)


if __name__ == "__main__":
    main()
