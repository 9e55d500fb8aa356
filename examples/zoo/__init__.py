"""Sample networks as ONNX models with seeded random weights: ``zoo.build("resnet50")``, ``zoo.inputs(model)``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper

from examples.zoo.densenet import densenet121
from examples.zoo.inception import inception_v1
from examples.zoo.mobilenet import mobilenetv1, mobilenetv2, mobilenetv3_small
from examples.zoo.posenet import posenet
from examples.zoo.resnet import resnet18, resnet50
from examples.zoo.retinaface import retinaface
from examples.zoo.shufflenet import shufflenetv2
from examples.zoo.squeezenet import squeezenet
from examples.zoo.statistics import macs, parameters
from examples.zoo.style_transfer import fast_style_transfer, fast_style_transfer_deconv
from examples.zoo.transformer import bert_tiny, vit_tiny
from examples.zoo.unet import unet
from examples.zoo.vgg import vgg16
from examples.zoo.yolo import yolov2

__all__ = ["build", "inputs", "macs", "names", "parameters"]

_MODELS: dict[str, Callable[[int], onnx.ModelProto]] = {
    function.__name__: function
    for function in (
        resnet18, resnet50, vgg16, yolov2, posenet, retinaface, fast_style_transfer, fast_style_transfer_deconv,
        mobilenetv1, mobilenetv2, mobilenetv3_small, squeezenet, inception_v1, densenet121, shufflenetv2, unet,
        vit_tiny, bert_tiny,
    )
}  # fmt: skip


def names() -> tuple[str, ...]:
    """The names that `build` knows."""
    return tuple(_MODELS)


def build(name: str, seed: int = 0) -> onnx.ModelProto:
    """The model called `name`; raises KeyError for a name not in `names()`."""
    return _MODELS[name](seed)


def inputs(model: onnx.ModelProto, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs for any model with static input shapes.

    Floats are drawn from N(0, 1). Integers that index a table (Gather) stay below its length; other integers are 0
    or 1, and end in zeros like an attention mask.
    """
    random = np.random.default_rng(seed)
    tables = _table_lengths(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    feeds = {}
    for value in model.graph.input:
        if value.name in weights:
            continue
        tensor = value.type.tensor_type
        if any(not dim.HasField("dim_value") for dim in tensor.shape.dim):
            raise ValueError(f"input {value.name} has a dynamic shape")
        shape = tuple(dim.dim_value for dim in tensor.shape.dim)
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if tensor.elem_type == TensorProto.BOOL:
            feeds[value.name] = random.random(shape) < 0.5
        elif np.issubdtype(dtype, np.integer) and value.name in tables:
            feeds[value.name] = random.integers(0, tables[value.name], shape, dtype=dtype)
        elif np.issubdtype(dtype, np.integer):
            feeds[value.name] = np.ones(shape, dtype)
            feeds[value.name][..., shape[-1] * 3 // 4 :] = 0
        else:
            feeds[value.name] = random.standard_normal(shape, dtype=np.float32).astype(dtype)
    return feeds


def _table_lengths(model: onnx.ModelProto) -> dict[str, int]:
    """For every value that indexes an initialiser through Gather: the length of the indexed axis."""
    dims = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    lengths: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type == "Gather" and node.input[0] in dims:
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
            length = dims[node.input[0]][axis]
            lengths[node.input[1]] = min(length, lengths.get(node.input[1], length))
    return lengths
