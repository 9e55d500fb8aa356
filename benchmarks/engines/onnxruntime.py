"""onnxruntime's CPU provider with all graph optimisations (the default)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.engines import Run

PACKAGES = ("onnxruntime",)


def prepare(model: Path, folder: Path) -> Path:
    """It reads ONNX."""
    return model


def load(prepared: Path, cores: Sequence[int]) -> Run:
    """A session with one intra-op thread per core."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = len(cores), 1
    session = ort.InferenceSession(str(prepared), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda feeds: dict(zip(names, session.run(names, dict(feeds)), strict=True))
