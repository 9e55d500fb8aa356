"""onnxruntime with its profiler on: how long each of its nodes takes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

_KERNEL = "_kernel_time"


class Profiled:
    """A one-thread session on the caller's thread; `durations` ends it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hetpart-bench-")
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_profiling = True
        options.log_severity_level = 3
        options.profile_file_prefix = str(Path(self._folder.name) / "profile")
        self._session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(self, feeds: Mapping[str, np.ndarray]) -> None:
        self._session.run(None, dict(feeds))

    def durations(self) -> dict[tuple[str, str], list[float]]:
        """Milliseconds of every run by (name, operator) of the node.

        The name is that of a node or value of the model where onnxruntime made it from one: it appends words of its
        own, such as ``_nchwc`` for a blocked convolution and ``/MatMulAddFusion`` for what it fused.
        """
        with self._folder, open(self._session.end_profiling()) as file:
            events = json.load(file)
        times: dict[tuple[str, str], list[float]] = {}
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
                key = original_name(event["name"].removesuffix(_KERNEL)), event["args"]["op_name"]
                times.setdefault(key, []).append(event["dur"] / 1e3)
        return times


def original_name(name: str) -> str:
    """The name without onnxruntime's additions.

    Example:
        >>> original_name("MatMul_7/MatMulAddFusion"), original_name("Relu_2.out_nchwc")
        ('MatMul_7', 'Relu_2.out')
    """
    name = name.removeprefix("fused ")
    base, _, fusion = name.partition("/")
    if fusion and "Fusion" not in fusion:
        base = name  # exporters write paths
    return base.removesuffix("_nchwc").removesuffix("_bn")
