"""What a command leaves behind, and the small network that the commands are tried on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

_TINY = """<ir_version: 8, opset_import: ["" : 13]>
tiny (float[1,4,16,16] image) => (float[1,10] logits) {
  [conv1] a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(image, w1, b1)
  [relu1] b = Relu(a)
  [conv2] c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(b, w2)
  [add] d = Add(b, c)
  [pool] e = GlobalAveragePool(d)
  [flat] f = Flatten(e)
  [fc] logits = Gemm<transB=1>(f, w3, b3)
}"""
_SHAPES = {"w1": (16, 4, 3, 3), "b1": (16,), "w2": (16, 16, 3, 3), "w3": (10, 16), "b3": (10,)}


@dataclass(frozen=True)
class Result:
    """What a command left behind: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The one JSON value on standard output; NaN and the like are none."""
        return json.loads(self.out, parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))


Cli = Callable[..., Result]


def write_tiny(path: Path, seed: int = 0) -> Path:
    """A network of two convolutions, an addition, a pool and a dense layer."""
    random = np.random.default_rng(seed)
    model = onnx.parser.parse_model(_TINY)
    for name, shape in _SHAPES.items():
        weight = (0.3 * random.standard_normal(shape)).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
    onnx.save(model, path)
    return path
