"""Type every value and fold whatever is computable ahead of time, until nothing changes."""

from __future__ import annotations

import re

import onnx
import onnxslim
from onnx import helper
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
        HetpartError: ``type-inference`` where the graph contradicts itself, ``folding-failed``.
    """
    for _ in range(_MAX_ROUNDS):
        typed = infer_types(model)
        try:
            model = onnxslim.slim(typed, skip_optimizations=_SKIPPED, no_shape_infer=True)
        except Exception as error:  # it raises whatever its code runs into
            raise HetpartError("folding-failed", f"onnxslim cannot fold the constants of the model: {error}") from error
        if _results(model) == _results(typed):
            return typed  # onnxslim reorders nodes: where it folds nothing, the given order stays
    raise HetpartError("folding-failed", f"the model still changes after {_MAX_ROUNDS} rounds of constant folding")


def _results(model: onnx.ModelProto) -> set[tuple[str, ...]]:
    return {(node.op_type, *node.output) for node in model.graph.node}


def type_given_outputs(graph: onnx.GraphProto) -> None:
    """Gives outputs that no node makes the type of the input or the constant that they are.

    Inference types what nodes make, and believes of everything else what was declared last, as an output.
    """
    given = {value.name: value.type for value in graph.input}
    for tensor in graph.initializer:
        given[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
    for output in graph.output:
        if output.name in given:
            output.type.CopyFrom(given[output.name])


def infer_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` with the types of all values as its inputs imply them; recorded ones are forgotten.

    Raises:
        HetpartError: ``type-inference``.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    for output in bare.graph.output:
        output.type.tensor_type.ClearField("shape")
    type_given_outputs(bare.graph)
    try:
        return infer_shapes(bare, check_type=True, strict_mode=True, data_prop=True)
    except InferenceError as error:
        message = str(error).strip()
        node = re.search(r"node name: ([^)]+)\)", message)
        raise HetpartError(
            "type-inference", f"the types of the model do not fit together: {message}", node=node[1] if node else None
        ) from error
