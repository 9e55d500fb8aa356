"""OpenVINO's CPU plugin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.engines import Arrays, Run

PACKAGES = ("openvino",)


def prepare(model: Path, folder: Path) -> Path:
    """It reads ONNX."""
    return model


def load(prepared: Path, cores: Sequence[int]) -> Run:
    """One stream tuned for latency; fp32 is asked for, since bf16 is its default where the processor has AMX."""
    import openvino as ov

    core = ov.Core()
    configuration = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": len(cores),
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # the process is pinned as a whole
    }
    compiled = core.compile_model(core.read_model(str(prepared)), "CPU", configuration)
    request = compiled.create_infer_request()
    names = [port.any_name for port in compiled.outputs]

    def run(feeds: Arrays) -> Arrays:
        request.infer(dict(feeds), share_inputs=True)
        return {name: request.get_output_tensor(i).data for i, name in enumerate(names)}

    return run
