"""import_model: read, refuse what cannot be compiled, pin shapes, fold, bring to one opset, type every value.

All of it works on a skeleton of the model from which the large weights were taken out (see `skeleton`), so that a
model of several gigabytes is never copied; they return, still memory-mapped, in the last step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import onnx_ir as ir

from hetpart.frontend.functions import inline_functions
from hetpart.frontend.load import read_proto
from hetpart.frontend.operands import check_operands
from hetpart.frontend.opset import OPSET, convert_opset, main_opset
from hetpart.frontend.pin import pin_shapes
from hetpart.frontend.qoperator import CONTRIB, write_as_qdq
from hetpart.frontend.sequences import resolve_sequences
from hetpart.frontend.simplify import simplify, type_given_outputs
from hetpart.frontend.skeleton import Skeleton
from hetpart.frontend.unroll import unroll
from hetpart.frontend.validate import (
    check_control_flow,
    check_result,
    check_source,
    check_valid,
    has_subgraphs,
    name_nodes,
)


def import_model(
    source: str | Path | onnx.ModelProto | ir.Model,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
) -> ir.Model:
    """Import an ONNX model for compilation; neither the file nor a model object passed in is changed.

    Args:
        source: a file, or a model in memory. External data are found relative to the file, and memory-mapped.
        shapes: full shapes of inputs by name; fixes their dynamic dimensions.
        dims: sizes of symbolic dimensions by name (``{"batch": 1}``), wherever they occur.

    Returns:
        A model at `hetpart.frontend.opset.OPSET` without functions and control flow, whatever is computable ahead of
        time folded into initialisers, every node uniquely named, every value with a static shape and dtype.

    Raises:
        HetpartError: the model or an argument cannot be used; the code says why, the hint what to do.
    """
    if isinstance(source, ir.Model):
        skeleton = Skeleton.of_ir(source)
    elif isinstance(source, onnx.ModelProto):
        skeleton = Skeleton.of_proto(source, base_dir="")
    else:
        path = Path(source)
        skeleton = Skeleton.of_proto(read_proto(path), base_dir=path.resolve().parent)
    model = skeleton.model
    name_nodes(model.graph)
    write_as_qdq(model.graph, main_opset(model), CONTRIB)
    check_source(model)
    pin_shapes(model, skeleton.weights, shapes or {}, dims or {})
    type_given_outputs(model.graph)
    check_valid(model)
    model = inline_functions(model)
    if has_subgraphs(model.graph):
        model = unroll(simplify(model))  # the conversion does not look into the branches of an If
        check_control_flow(model.graph)
        name_nodes(model.graph)
    model = resolve_sequences(model)
    model = convert_opset(model)
    write_as_qdq(model.graph, OPSET, "")
    name_nodes(model.graph)
    model = simplify(model)
    name_nodes(model.graph)
    check_result(model)
    check_operands(model.graph)
    return skeleton.attach(model)
