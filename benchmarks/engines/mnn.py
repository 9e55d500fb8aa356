"""MNN's CPU backend."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import onnx

from benchmarks.engines import Arrays, Run
from benchmarks.engines.tool import run_tool

PACKAGES = ("MNN",)


def prepare(model: Path, folder: Path) -> Path:
    """Converts; the names of inputs and outputs go along, which MNN wants to be told."""
    run_tool("mnnconvert", "-f", "ONNX", "--modelFile", model, "--MNNModel", folder / "model.mnn", "--bizCode", "bench")
    graph = onnx.load(model, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    names = [v.name for v in graph.input if v.name not in weights], [v.name for v in graph.output]
    (folder / "names.json").write_text(json.dumps(names))
    return folder


def load(prepared: Path, cores: Sequence[int]) -> Run:
    """A module of high precision, which is fp32, with static shapes."""
    import MNN.expr as expr
    import MNN.nn as nn
    import MNN.numpy as mnp

    inputs, outputs = json.loads((prepared / "names.json").read_text())
    settings = {"backend": "CPU", "numThread": len(cores), "precision": "high", "memory": "high", "power": "high"}
    manager = nn.create_runtime_manager((settings,))
    module = nn.load_module_from_file(
        str(prepared / "model.mnn"), inputs, outputs, runtime_manager=manager, shape_mutable=False
    )

    def run(feeds: Arrays) -> Arrays:
        given = []
        for name in inputs:
            variable = mnp.array(feeds[name]) if feeds[name].dtype != bool else mnp.array(feeds[name].astype("int32"))
            given.append(expr.convert(variable, expr.NCHW) if feeds[name].ndim == 4 else variable)
        results = module.onForward(given)
        converted = [expr.convert(r, expr.NCHW) if r.data_format == expr.NC4HW4 else r for r in results]
        return {name: result.read() for name, result in zip(outputs, converted, strict=True)}

    return run
