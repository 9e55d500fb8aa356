"""Operators that ONNX defines by others: their function bodies take their place.

Written out is what hetpart has no kernel for as one operator, and what came after the opset that models are brought
to. The bodies are ONNX's own; `onnx.inliner` puts them in.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import onnx.inliner
from onnx import defs, helper

from hetpart.errors import HetpartError
from hetpart.frontend.newer import NEWER_FORMS, newer_body
from hetpart.frontend.simplify import infer_types
from hetpart.frontend.validate import name_nodes

WRITTEN_OUT = frozenset(
    {
        "Attention", "BlackmanWindow", "Celu", "CenterCropPad", "GroupNormalization", "HammingWindow",
        "HannWindow", "MeanVarianceNormalization", "NegativeLogLikelihoodLoss", "RMSNormalization", "RotaryEmbedding",
        "SoftmaxCrossEntropyLoss",
    }
)  # fmt: skip
"""Functions that nothing of ours knows as one operator."""

_DOMAIN = "hetpart.body"


def write_out(model: onnx.ModelProto, version: int, opset: int) -> onnx.ModelProto:
    """`model`, of opset `version`, with `WRITTEN_OUT` and what is newer than `opset` written out.

    That is done as far as ONNX has bodies.

    Raises:
        HetpartError: ``opset-conversion`` where an operator newer than `opset` has no body; ``type-inference``.
    """
    refused: set[str] = set()
    while targets := [node for node in model.graph.node if _is_written_out(node, version, opset, refused)]:
        names = {node.name for node in targets}
        model = infer_types(model)  # bodies may depend on the types of the inputs, initialisers included
        types = {value.name: value.type for value in (*model.graph.input, *model.graph.value_info)}
        for tensor in model.graph.initializer:
            types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
        constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.name not in names:
                continue
            body = newer_body(node, types, constants)
            if body is None and node.op_type not in NEWER_FORMS:
                body = _body(node, version, types)
            if body is None:
                if not defs.has(node.op_type, opset, ""):
                    raise refusal(node, f"is not in opset {opset} and has no function body", f"{opset} or earlier")
                refused.add(node.name)
                continue
            _set_defaults(node, version)
            body.domain, body.name = _DOMAIN, f"{node.op_type}_{len(model.functions)}"
            for entry in body.opset_import:
                entry.version = version if entry.domain in ("", "ai.onnx") else entry.version
            model.functions.append(body)
            node.domain, node.op_type = _DOMAIN, body.name
        if not model.functions:
            continue
        model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
        try:
            model = onnx.inliner.inline_local_functions(model)
        except RuntimeError as error:
            raise refusal(targets[0], f"cannot be written out for opset {opset}", f"{opset} or earlier") from error
        kept = [entry for entry in model.opset_import if entry.domain != _DOMAIN]
        del model.opset_import[:]
        model.opset_import.extend(kept)
        name_nodes(model.graph)
    return model


def refusal(node: onnx.NodeProto, fault: str, opset: str) -> HetpartError:
    """The error that says that `node` has no equal form at the opset that models are brought to."""
    return HetpartError(
        "opset-conversion",
        f"{node.op_type} '{node.name}' {fault}",
        node=node.name,
        hint=f"export the model with opset {opset}",
    )


def _is_written_out(node: onnx.NodeProto, version: int, opset: int, refused: set[str]) -> bool:
    if node.domain not in ("", "ai.onnx") or node.name in refused:
        return False
    if node.op_type in WRITTEN_OUT or (node.op_type == "LayerNormalization" and any(node.output[1:])):
        return True
    return version > opset and (node.op_type in NEWER_FORMS or not defs.has(node.op_type, opset, ""))


def _body(node: onnx.NodeProto, version: int, types: Mapping[str, onnx.TypeProto]) -> onnx.FunctionProto | None:
    """The function body of `node` for a model of opset `version`, None if ONNX has none for it."""
    schema = defs.get_schema(node.op_type, version)
    fixed: list[int] = schema.function_opset_versions  # type: ignore[attr-defined]  # not in onnx's stubs
    computed: list[int] = schema.context_dependent_function_opset_versions  # type: ignore[attr-defined]  # likewise
    function = onnx.FunctionProto()
    if fixed:
        best = max((v for v in fixed if v <= version), default=fixed[0])
        function.ParseFromString(schema.get_function_with_opset_version(best))  # type: ignore[attr-defined]  # likewise
    elif computed:
        best = max((v for v in computed if v <= version), default=computed[0])
        given = [types.get(name, onnx.TypeProto()).SerializeToString() for name in node.input]
        try:
            text = schema.get_context_dependent_function_with_opset_version(  # type: ignore[attr-defined]  # likewise
                best, node.SerializeToString(), given
            )
        except RuntimeError:
            return None
        function.ParseFromString(text)
    return function if function.node else None


def _set_defaults(node: onnx.NodeProto, version: int) -> None:
    """The inliner leaves a reference to nothing where an attribute is absent."""
    given = {attribute.name for attribute in node.attribute}
    node.attribute.extend(
        attribute.default_value
        for name, attribute in defs.get_schema(node.op_type, version).attributes.items()
        if name not in given and attribute.default_value.name
    )
