"""Networks quantised by onnxruntime's own tool, calibrated on a few random inputs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from examples.zoo import inputs as model_inputs

_TYPES = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}


class _Samples(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    def __init__(self, samples: Sequence[Mapping[str, np.ndarray]]) -> None:
        self._samples = iter(samples)

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        return next(self._samples, None)


def quantise(
    model: onnx.ModelProto,
    *,
    operators: bool = False,
    activations: str = "uint8",
    weights: str = "int8",
    per_channel: bool = True,
) -> onnx.ModelProto:
    """`model` in int8: in QDQ form, or with `operators` in QOperator form (QLinearConv and so on)."""
    logging.getLogger().setLevel(logging.ERROR)  # it recommends what is being tested here
    with tempfile.TemporaryDirectory(prefix="hetpart-") as folder:
        plain, prepared, quantised = (str(Path(folder) / f"{name}.onnx") for name in ("plain", "prepared", "quantised"))
        onnx.save(model, plain)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantised,
            _Samples([model_inputs(model, seed) for seed in (1, 2)]),
            quant_format=QuantFormat.QOperator if operators else QuantFormat.QDQ,
            per_channel=per_channel,
            activation_type=_TYPES[activations],
            weight_type=_TYPES[weights],
        )
        return onnx.load(quantised)
