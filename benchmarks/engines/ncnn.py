"""ncnn, through pnnx's converter.

pnnx's package asks for torch, which converting ONNX does not need: ``pip install --no-deps pnnx``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from benchmarks.engines import Arrays, Run
from benchmarks.engines.tool import run_tool

PACKAGES = ("ncnn", "pnnx")


def prepare(model: Path, folder: Path) -> Path:
    """Converts without fp16 weights. ncnn's inputs and outputs are called in0, in1, ..., out0, ... in ONNX's order."""
    from importlib.metadata import files

    (folder / "model.onnx").symlink_to(model.resolve())  # pnnx writes beside its input
    program = next(str(f.locate()) for f in files("pnnx") or () if f.name == "pnnx" and f.parent.name == "pnnx")
    run_tool(program, folder / "model.onnx", "fp16=0", cwd=folder)
    if not (folder / "model.ncnn.param").exists():
        raise RuntimeError("pnnx wrote no ncnn model")
    unsupported = sorted({kind for kind in _kinds(folder / "model.ncnn.param") if "." in kind})
    if unsupported:
        raise RuntimeError(f"ncnn has no {', '.join(unsupported)}")
    graph = onnx.load(model, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.output}
    (folder / "names.json").write_text(json.dumps([[v.name for v in graph.input if v.name not in weights], shapes]))
    return folder


def _kinds(param: Path) -> list[str]:
    return [line.split()[0] for line in param.read_text().splitlines()[2:]]


def load(prepared: Path, cores: Sequence[int]) -> Run:
    """A net that computes and stores fp32 throughout."""
    import ncnn

    inputs, shapes = json.loads((prepared / "names.json").read_text())
    net = ncnn.Net()
    net.opt.num_threads = len(cores)
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if net.load_param(str(prepared / "model.ncnn.param")) or net.load_model(str(prepared / "model.ncnn.bin")):
        raise RuntimeError("ncnn cannot load the model")

    def run(feeds: Arrays) -> Arrays:
        extractor = net.create_extractor()
        for i, name in enumerate(inputs):
            array = feeds[name]
            dropped = array[0] if array.ndim > 2 else array.reshape(-1)  # ncnn has no batch dimension
            extractor.input(f"in{i}", ncnn.Mat(np.ascontiguousarray(dropped)))
        outputs = {}
        for i, (name, shape) in enumerate(shapes.items()):
            code, result = extractor.extract(f"out{i}")
            if code:
                raise RuntimeError(f"ncnn cannot compute output {name}: code {code}")
            outputs[name] = np.array(result).reshape(shape)
        return outputs

    return run
