"""IREE's llvm-cpu backend for this processor, with data tiling as its CPU guide recommends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from benchmarks.engines import Arrays, Run
from benchmarks.engines.tool import run_tool

PACKAGES = ("iree-base-compiler", "iree-base-runtime")

_FLAGS = (
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-cpu=host",
    "--iree-opt-level=O3",
    "--iree-opt-data-tiling",
    # data tiling is for matrix products: without these, convolutions are 6 times slower
    "--iree-global-opt-use-im2col-for-convs",
    "--iree-global-opt-propagate-transposes-through-conv",
    "--iree-opt-aggressively-propagate-transposes",
    "--iree-llvmcpu-stack-allocation-limit=262144",  # 32 KiB by default, too little for some kernels
)


def prepare(model: Path, folder: Path) -> Path:
    """Imports and compiles."""
    run_tool("iree-import-onnx", model, "-o", folder / "model.mlir")
    run_tool("iree-compile", folder / "model.mlir", *_FLAGS, "-o", folder / "model.vmfb")
    (folder / "model.mlir").unlink()
    graph = onnx.load(model, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    names = graph.name, [v.name for v in graph.input if v.name not in weights], [v.name for v in graph.output]
    (folder / "names.json").write_text(json.dumps(names))
    return folder


def load(prepared: Path, cores: Sequence[int]) -> Run:
    """In the caller's thread on one core, else on a worker pinned to each core."""
    import iree.runtime as rt

    function, inputs, outputs = json.loads((prepared / "names.json").read_text())
    if len(cores) > 1:
        rt.flags.parse_flags(*(f"--task_topology_cpu_ids={core}" for core in cores))
    config = rt.Config("local-task" if len(cores) > 1 else "local-sync")
    module = rt.load_vm_module(rt.VmModule.mmap(config.vm_instance, str(prepared / "model.vmfb")), config)
    call = module[function]

    def run(feeds: Arrays) -> Arrays:
        results = call(*(feeds[name] for name in inputs))
        results = results if isinstance(results, tuple | list) else (results,)
        return {name: np.asarray(result) for name, result in zip(outputs, results, strict=True)}

    return run
