"""Bring a model of any opset from 7 on to one opset, so that later passes see one form of each operator.

Opset 22 has every operator that our passes write (Gelu came last, with 20), takes axes, pads and bounds as inputs
throughout, and is the first to say that a pooling window which would start in the padding does not exist: what
PyTorch and onnxruntime always did, but what the type inference of older opsets gets wrong by a row. What came after
adds element types and operators that are functions; those are written out in their function bodies.

Upwards ONNX's version converter does the work; what it is known to get wrong is put right or refused here.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx.version_converter
from onnx import defs, helper, numpy_helper

from hetpart.errors import HetpartError
from hetpart.frontend.bodies import refusal, write_out
from hetpart.frontend.simplify import infer_types
from hetpart.frontend.unroll import unroll

OPSET = 22
IR_VERSION = 10
"""The IR version that came with opset 22 (onnx 1.17)."""


def convert_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` (static inputs; no functions, no control flow that folds away) at `OPSET`; types are to be inferred anew.

    Raises:
        HetpartError: ``opset-conversion`` where an operator has no equal form at `OPSET`; ``type-inference``.
    """
    model = unroll(write_out(model, main_opset(model), OPSET))  # bodies of functions may have loops
    if main_opset(model) < OPSET:
        model = _upgrade(model)
    elif main_opset(model) > OPSET:
        _downgrade(model)
    model.ir_version = IR_VERSION
    return model


def main_opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that the model declares, `OPSET` if it declares none."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), OPSET)


def _upgrade(model: onnx.ModelProto) -> onnx.ModelProto:
    version = main_opset(model)
    if version < 7:
        model = _align_slopes(model)
    for node in model.graph.node:
        if _has_no_later_form(node, model.graph, version):
            raise refusal(node, f"of opset {version} has no equal form in later opsets", "13 or later")
    try:
        converted = onnx.version_converter.convert_version(model, OPSET)
    except (onnx.version_converter.ConvertError, RuntimeError) as error:
        raise HetpartError(
            "opset-conversion", f"ONNX cannot convert the model from opset {version} to {OPSET}: {error}".strip(),
            hint="export the model again with opset 18 or later",
        ) from error  # fmt: skip
    if version < 11:
        for node in converted.graph.node:
            if node.op_type == "Resize":
                _set_old_resize_rules(node)
    return converted


def _align_slopes(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with slopes of PRelu that broadcast: one per channel before opset 7; the converter forgets it."""
    model = infer_types(model)
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim) for value in (*model.graph.input, *model.graph.value_info)
    }
    sizes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for position, node in reversed(list(enumerate(model.graph.node))):
        rank = ranks.get(node.input[0], 2) if node.op_type == "PRelu" else 2
        if rank > 2 and len(sizes.get(node.input[1], (1, 1))) == 1:
            shape = f"{node.name}/slope_shape"
            model.graph.initializer.append(numpy_helper.from_array(np.array([-1, *[1] * (rank - 2)], np.int64), shape))
            reshape = helper.make_node(
                "Reshape", [node.input[1], shape], [f"{node.name}/slope"], f"{node.name}/Reshape"
            )
            node.input[1] = reshape.output[0]
            model.graph.node.insert(position, reshape)
    return model


def _has_no_later_form(node: onnx.NodeProto, graph: onnx.GraphProto, version: int) -> bool:
    if node.op_type == "Hardmax":  # it flattened all axes from `axis` on, which the converter forgets
        return version < 13
    if node.op_type == "Resize" and version == 10:  # which pixel is nearest was not said; no doubt at integer factors
        mode = next((attribute.s for attribute in node.attribute if attribute.name == "mode"), b"nearest")
        scales = next((tensor for tensor in graph.initializer if tensor.name == node.input[1]), None)
        if mode == b"nearest":
            return scales is None or any(s < 1 and (1 / s) % 1 for s in numpy_helper.to_array(scales).tolist())
    return False


def _set_old_resize_rules(node: onnx.NodeProto) -> None:
    """Upsample, and Resize before opset 11: source coordinate = x / scale, and nearest rounds down."""
    rules = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    _keep_attributes(node, [attribute for attribute in node.attribute if attribute.name not in rules])
    node.attribute.extend(helper.make_attribute(name, value) for name, value in rules.items())


def _downgrade(model: onnx.ModelProto) -> None:
    """Declare `OPSET` where every node means the same there; type inference checks the element types afterwards."""
    version = main_opset(model)
    for node in model.graph.node:
        known = defs.get_schema(node.op_type, OPSET).attributes
        newer = defs.get_schema(node.op_type, version).attributes
        kept = []
        for attribute in node.attribute:
            if attribute.name in known:
                kept.append(attribute)
            elif attribute != newer[attribute.name].default_value:
                raise refusal(node, f"uses {attribute.name}, which is not in opset {OPSET}", f"{OPSET} or earlier")
        _keep_attributes(node, kept)
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = OPSET


def _keep_attributes(node: onnx.NodeProto, kept: list[onnx.AttributeProto]) -> None:
    copies = [onnx.AttributeProto.FromString(attribute.SerializeToString()) for attribute in kept]
    del node.attribute[:]
    node.attribute.extend(copies)
