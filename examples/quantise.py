"""Quantise a network with onnxruntime's own tool, calibrated on random inputs: enough for speed and exactness.

Command line: ``python -m examples.quantise squeezenet -o squeezenet-int8.onnx [--operators] [--activations int8]``.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from examples import zoo

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
    """`model` in 8 bits: in QDQ form, or with `operators` in QOperator form (QLinearConv and so on)."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it warns of combinations that are slow in onnxruntime
    try:
        with tempfile.TemporaryDirectory(prefix="hetpart-") as folder:
            plain, prepared, quantised = (str(Path(folder) / f"{step}.onnx") for step in ("plain", "prepared", "int8"))
            onnx.save(model, plain)
            quant_pre_process(plain, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                quantised,
                _Samples([zoo.inputs(model, seed) for seed in (1, 2)]),
                quant_format=QuantFormat.QOperator if operators else QuantFormat.QDQ,
                per_channel=per_channel,
                activation_type=_TYPES[activations],
                weight_type=_TYPES[weights],
            )
            return onnx.load(quantised)
    finally:
        root.setLevel(level)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.quantise", description="Write a quantised sample model.")
    parser.add_argument("model", choices=zoo.names(), metavar="MODEL", help=", ".join(zoo.names()))
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: MODEL-int8.onnx)")
    parser.add_argument("--operators", action="store_true", help="QOperator form instead of QDQ")
    parser.add_argument("--activations", choices=sorted(_TYPES), default="uint8", help="type (default: uint8)")
    arguments = parser.parse_args()
    model = quantise(zoo.build(arguments.model), operators=arguments.operators, activations=arguments.activations)
    onnx.save(model, arguments.output or f"{arguments.model}-int8.onnx")


if __name__ == "__main__":
    main()
