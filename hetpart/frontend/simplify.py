"""Type every value and fold whatever is computable ahead of time, until nothing changes."""

from __future__ import annotations

import re

import onnx
import onnxslim
from onnx.shape_inference import InferenceError, infer_shapes

from hetpart.errors import HetpartError

_SKIPPED = ["graph_fusion", "dead_node_elimination", "subexpression_elimination", "weight_tying"]
"""What onnxslim must leave alone: our own passes do these, say what they did, and keep each layer's weights apart."""

_MAX_ROUNDS = 50
"""A round folds at least one more level of shape arithmetic; no exporter nests it anywhere near that deep."""


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with types on all values, constants and shape arithmetic folded, constant branches of If inlined.

    Shapes come from ONNX's own inference (strict, with data propagation); onnxslim only evaluates constant nodes.
    Both matter to each other: a folded shape lets inference go on, an inferred shape lets a Shape node fold.

    Raises:
        HetpartError: ``type-inference`` where the graph contradicts itself.
    """
    for _ in range(_MAX_ROUNDS):
        typed = _infer_types(model)
        model = onnxslim.slim(typed, skip_optimizations=_SKIPPED, no_shape_infer=True)
        if [node.output for node in model.graph.node] == [node.output for node in typed.graph.node]:
            return typed
    raise HetpartError("simplify", f"the model still changes after {_MAX_ROUNDS} rounds of constant folding")


def _infer_types(model: onnx.ModelProto) -> onnx.ModelProto:
    stale = onnx.ModelProto()
    stale.CopyFrom(model)
    del stale.graph.value_info[:]
    try:
        return infer_shapes(stale, check_type=True, strict_mode=True, data_prop=True)
    except InferenceError as error:
        message = str(error).strip()
        node = re.search(r"node name: ([^)]+)\)", message)
        raise HetpartError(
            "type-inference", f"the types of the model do not fit together: {message}", node=node[1] if node else None
        ) from error
