"""fold-constants: what is known before the model runs becomes a constant.

Nodes that read only constants are run now, by onnxruntime. A value without elements, and the shape of any value, are
known from the types alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx
import onnx_ir as ir

from hetpart.errors import HetpartError, InternalError
from hetpart.passes.base import Pass
from hetpart.passes.edit import Array, Editor, attribute, constant, is_operator, shape_of

_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)

_QUANTISED = frozenset({"QuantizeLinear", "DequantizeLinear"})
"""Not folded: an int8 weight with its scale is what an integer kernel wants; no kernel does of a batch norm's."""

_FOLDABLE_DTYPES = "fiub"
"""numpy dtype kinds that pass through onnxruntime's Python interface."""


def is_deterministic(node: ir.Node) -> bool:
    """False for random operators, of which each run and each copy gives another result, and for foreign domains."""
    return node.domain == "" and node.op_type not in _RANDOM


def lift_constant(editor: Editor, node: ir.Node) -> bool:
    """Constant -> initialiser of the same name."""
    if not is_operator(node, "Constant"):
        return False
    if "sparse_value" in node.attributes:
        raise HetpartError("sparse-constant", "sparse constants are not supported", node=node.name)
    tensor = ir.convenience.get_const_tensor(node.outputs[0])
    if tensor is None:
        raise InternalError("bad-constant", "a Constant node has no value", node=node.name)
    editor.replace_by_constants(node, [tensor])
    return True


def fold_constants(graph: ir.Graph, limit_bytes: int) -> bool:
    """Fold every node that reads only constants, unless it would turn few bytes into more than `limit_bytes`."""
    editor = Editor(graph)
    modified = _fold_empty_inputs(editor)
    for node in graph:
        if lift_constant(editor, node) or _fold_by_type(editor, node):
            modified = True
        elif _is_foldable(node, limit_bytes) and (results := _run(node, graph.opset_imports[""])) is not None:
            editor.replace_by_constants(node, [ir.tensor(result) for result in results])
            modified = True
    return modified


def _fold_by_type(editor: Editor, node: ir.Node) -> bool:
    """Shape and Size -> constants; and the outputs of any node that have no elements."""
    data = node.inputs[0] if node.inputs else None
    if is_operator(node, "Shape", "Size") and data is not None:
        shape = np.array(shape_of(data), np.int64)
        last = len(shape)
        known = shape[slice(attribute(node, "start", 0), attribute(node, "end", last))]
        editor.replace_by_constants(node, [ir.tensor(known if node.op_type == "Shape" else np.array(math.prod(shape)))])
        return True
    if not is_deterministic(node):
        return False
    empty = [value for value in node.outputs if value.name and _is_empty(value)]
    if not empty:
        return False
    if len(empty) == len(node.outputs):
        editor.replace_by_constants(node, [_nothing(value) for value in empty])
        return True
    read = [value for value in empty if value.uses() and not value.is_graph_output()]
    for value in read:
        value.replace_all_uses_with(editor.constant(f"{value.name}/empty", _nothing(value)))
    return bool(read)


def _fold_empty_inputs(editor: Editor) -> bool:
    """Whoever reads a model input without elements reads a constant instead."""
    read = [value for value in editor.graph.inputs if not value.is_initializer() and value.uses() and _is_empty(value)]
    for value in read:
        value.replace_all_uses_with(editor.constant(f"{value.name}/empty", _nothing(value)))
    return bool(read)


def _is_empty(value: ir.Value) -> bool:
    return 0 in shape_of(value)


def _nothing(value: ir.Value) -> ir.TensorProtocol:
    if value.dtype is None:
        raise InternalError("missing-dtype", "a value has no dtype", node=value.name)
    return ir.Tensor(np.zeros(shape_of(value), value.dtype.numpy()), dtype=value.dtype)


def _is_foldable(node: ir.Node, limit_bytes: int) -> bool:
    if not is_deterministic(node) or not node.inputs:
        return False
    readers = node.outputs[0].consumers()
    if node.op_type in _QUANTISED and not all(is_operator(reader, "BatchNormalization") for reader in readers):
        return False
    if any(attr.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for attr in node.attributes.values()):
        return False
    if any(not value.name for value in node.outputs):
        return False
    inputs = [value for value in node.inputs if value is not None]
    arrays = [constant(value) for value in inputs]
    if any(array is None or array.dtype.kind not in _FOLDABLE_DTYPES for array in arrays):
        return False
    bytes_in = sum(array.nbytes for array in arrays if array is not None)
    bytes_out = sum(_size_bytes(value) for value in node.outputs)
    return bytes_out <= max(bytes_in, limit_bytes)


def _size_bytes(value: ir.Value) -> int:
    itemsize = value.dtype.itemsize if value.dtype is not None else 8
    return math.ceil(math.prod(shape_of(value)) * itemsize)


def _run(node: ir.Node, opset: int) -> list[Array] | None:
    """Outputs of `node`; None if onnxruntime has no kernel for it, which is no reason to refuse the model."""
    import onnxruntime  # 0.1 s and more; most models have nothing left to fold

    feeds = {value.name: array for value in node.inputs if value is not None and (array := constant(value)) is not None}
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [ir.to_proto(node)],
            "fold",
            [
                onnx.helper.make_tensor_value_info(
                    name or "", onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
                )
                for name, array in feeds.items()
            ],
            [onnx.ValueInfoProto(name=value.name) for value in node.outputs],
        ),
        opset_imports=[onnx.helper.make_opsetid("", opset)],
        ir_version=10,  # the newest that every supported onnxruntime reads
    )
    errors = onnxruntime.capi.onnxruntime_pybind11_state
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return [np.asarray(result) for result in session.run(None, feeds)]
    except (errors.NotImplemented, errors.InvalidGraph, errors.Fail, errors.RuntimeException):
        return None


@dataclass(frozen=True)
class FoldConstants(Pass):
    """Runs what depends on constants or types only; quantisation and random operators stay.

    Before::

        const @w: f32[8,4]
        %t = Transpose(@w) {perm=[1,0]}
        %y = MatMul(%x, %t)

    After::

        const @t: f32[4,8]
        %y = MatMul(%x, @t)

    Attributes:
        limit_bytes: results that are larger than the inputs are kept only up to this size (Expand, Tile, ...).
    """

    name: ClassVar[str] = "fold-constants"
    limit_bytes: int = 1 << 20

    def apply(self, model: ir.Model) -> bool:
        return fold_constants(model.graph, self.limit_bytes)
