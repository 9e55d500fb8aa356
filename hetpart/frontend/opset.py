"""Bring a model of any opset from 7 on to one opset, so that later passes see one form of each operator.

Opset 20 is the first that has every operator our passes write (Gelu came last), and takes axes, pads and bounds as
inputs throughout. What came after it adds element types and operators defined as functions: those are written out in
their function bodies, so nothing that hetpart can compile is lost.

Upwards ONNX's version converter does the work, checked here for what it is known to get wrong.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx
import onnx.inliner
import onnx.version_converter
from onnx import defs, helper

from hetpart.errors import HetpartError

OPSET = 20
IR_VERSION = 9
"""The IR version that came with opset 20 (onnx 1.15)."""


def convert_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` (simplified: no functions, no control flow that folds away) at `OPSET`.

    Raises:
        HetpartError: ``opset-conversion`` where an operator has no equal form at `OPSET`.
    """
    version = opset_version(model)
    if version < OPSET:
        model = _upgrade(model, version)
    # GroupNormalization counts its scales per group up to opset 20 and per channel after: written out, both are clear.
    expanded = {node.op_type for node in model.graph.node if _is_new(node)} | {"GroupNormalization"}
    model = _expand(model, expanded)
    if version > OPSET:
        _downgrade(model, opset_version(model))
    model.ir_version = IR_VERSION
    return model


def opset_version(model: onnx.ModelProto) -> int:
    """The version of ONNX's main operator set that `model` imports."""
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _upgrade(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    _refuse_unconvertible(model.graph.node, version)
    try:
        converted = onnx.version_converter.convert_version(model, OPSET)
    except (onnx.version_converter.ConvertError, RuntimeError) as error:
        raise HetpartError(
            "opset-conversion", f"ONNX cannot convert the model from opset {version} to {OPSET}: {error}".strip(),
            hint="export the model again with opset 18 or later",
        ) from error  # fmt: skip
    if version < 11:
        for node in converted.graph.node:
            if node.op_type == "Resize":  # the converter leaves the attributes at what opset 11 has as default
                _set_old_resize_rules(node)
    return converted


def _refuse_unconvertible(nodes: Iterable[onnx.NodeProto], version: int) -> None:
    """Hardmax before opset 13 flattened all axes from `axis` on; the converter forgets to."""
    for node in nodes:
        if node.op_type == "Hardmax" and version < 13:
            raise HetpartError(
                "opset-conversion", f"Hardmax '{node.name}' of opset {version} has no equal form in later opsets",
                node=node.name, hint="export the model again with opset 13 or later",
            )  # fmt: skip


def _set_old_resize_rules(node: onnx.NodeProto) -> None:
    """Upsample and Resize before opset 11: source coordinate = x / scale, and nearest rounds down."""
    rules = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    kept = [attribute for attribute in node.attribute if attribute.name not in rules]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in rules.items())])


def _is_new(node: onnx.NodeProto) -> bool:
    return not node.domain and not defs.has(node.op_type, OPSET, "")


def _expand(model: onnx.ModelProto, op_types: set[str]) -> onnx.ModelProto:
    """Write out operators by the function bodies of their schemas (recursively: bodies may use new operators)."""
    present = op_types & {node.op_type for node in model.graph.node}
    if not present:
        return model
    targets = [("", op_type) for op_type in sorted(present)]
    model = onnx.inliner.inline_selected_functions(model, targets, inline_schema_functions=True)
    if left := next((node for node in model.graph.node if node.op_type in present), None):
        raise HetpartError(
            "opset-conversion", f"{left.op_type} '{left.name}' is not in opset {OPSET} and has no function body",
            node=left.name, hint=f"export the model with opset {OPSET} or earlier",
        )  # fmt: skip
    return _expand(model, {node.op_type for node in model.graph.node if _is_new(node)})


def _downgrade(model: onnx.ModelProto, version: int) -> None:
    """Declare `OPSET` where every node means the same there; type inference checks the element types afterwards."""
    for node in model.graph.node:
        if node.domain:
            continue
        old = defs.get_schema(node.op_type, OPSET, "")
        defaults = defs.get_schema(node.op_type, version, "").attributes
        for attribute in [attribute for attribute in node.attribute if attribute.name not in old.attributes]:
            default = defaults[attribute.name].default_value
            if helper.get_attribute_value(attribute) != helper.get_attribute_value(default):
                raise HetpartError(
                    "opset-conversion",
                    f"{node.op_type} '{node.name}' uses the attribute {attribute.name}, which opset {OPSET} lacks",
                    node=node.name, hint=f"export the model with opset {OPSET} or earlier",
                )  # fmt: skip
            node.attribute.remove(attribute)
        if len(node.input) > len(old.inputs) and old.max_input < len(node.input):
            raise HetpartError(
                "opset-conversion", f"{node.op_type} '{node.name}' has more inputs than in opset {OPSET}", node=node.name
            )
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = OPSET
