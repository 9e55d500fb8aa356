"""Model-local functions: every call is replaced by the nodes of the function's body."""

from __future__ import annotations

import onnx
import onnx.inliner

from hetpart.errors import HetpartError
from hetpart.frontend.validate import name_nodes


def inline_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` without functions, all nodes named.

    Raises:
        HetpartError: ``function-opset`` where a function uses another opset than the model, ``invalid-model`` where
            functions call themselves.
    """
    if not model.functions:
        return model
    try:
        inlined = onnx.inliner.inline_local_functions(model)
    except RuntimeError as error:
        raise HetpartError("invalid-model", f"the functions of the model cannot be inlined: {error}") from error
    if inlined.functions:
        function = inlined.functions[0]
        versions = ", ".join(f"{entry.domain or 'ai.onnx'} {entry.version}" for entry in function.opset_import)
        own = ", ".join(f"{entry.domain or 'ai.onnx'} {entry.version}" for entry in model.opset_import)
        raise HetpartError(
            "function-opset",
            f"function {function.domain}.{function.name} is written for opset {versions}, the model for {own}",
            node=function.name,
            hint="export the model with one opset for all of it",
        )
    name_nodes(inlined.graph)
    return inlined
