"""What must hold between passes: valid ONNX, true types, canonical form."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from hetpart.errors import InternalError
from hetpart.graph.canonical import check_canonical

_LARGE_BYTES = 1024
"""Initialisers above this size become graph inputs of the model that onnx checks: it has a limit of 2 GB."""


def verify_model(model: ir.Model, *, canonical: bool) -> None:
    """Check `model` with the ONNX checker, infer its shapes anew, and compare them with the recorded ones.

    Args:
        model: it is not changed.
        canonical: also require the canonical form.

    Raises:
        InternalError: ``invalid-model``, ``wrong-type`` (names the value), or what `check_canonical` finds.
    """
    skeleton = ir.to_proto(_skeleton(model))
    try:
        onnx.checker.check_model(skeleton)
        inferred = onnx.shape_inference.infer_shapes(skeleton, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise InternalError("invalid-model", f"not valid ONNX: {error}") from error
    types = {info.name: info.type.tensor_type for info in inferred.graph.value_info}
    for node in model.graph:
        for value in node.outputs:
            if value.name in types:
                _compare(value, types[value.name])
    if canonical:
        check_canonical(model)


def _skeleton(model: ir.Model) -> ir.Model:
    """A copy without large constants and without types of intermediate values; tensors are shared."""
    copy = model.clone()
    graph = copy.graph
    for node in graph:
        for value in node.outputs:
            if not value.is_graph_output():
                value.type = value.shape = None
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is not None and tensor.nbytes > _LARGE_BYTES and not value.is_graph_output():
            del graph.initializers[name]
            value.const_value = None
            if value not in graph.inputs:
                graph.inputs.append(value)
    return copy


def _compare(value: ir.Value, inferred: onnx.TypeProto.Tensor) -> None:
    dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in inferred.shape.dim]
    recorded = list(value.shape.numpy()) if value.shape is not None and value.shape.is_static() else None
    agrees = (
        recorded is not None
        and value.dtype == ir.DataType(inferred.elem_type)
        and (not inferred.HasField("shape") or len(dims) == len(recorded))
        and all(dim is None or dim == size for dim, size in zip(dims, recorded, strict=False))
    )
    if not agrees:
        name = onnx.TensorProto.DataType.Name(inferred.elem_type)
        raise InternalError(
            "wrong-type",
            f"a value is recorded as {value.dtype}{recorded} but computed as {name}{dims}",
            node=value.name,
        )
