"""What TVM's ONNX importer is not asked, because it would take it and get it wrong without saying so.

The operators and attributes are the oracle's tables; here stands what only a whole model can get wrong. Every kernel
that gets through is still compared with onnxruntime.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from hetpart.errors import HetpartError
from hetpart.oracle.tvm_traps import NEVER_RIGHT, trapped


def require_trusted(proto: onnx.ModelProto) -> None:
    """Raise HetpartError ``no-kernel`` if the importer is known to get `proto` wrong."""
    if proto.functions:
        raise no_kernel(proto, "the importer ignores model-local functions", hint="inline them with onnx.inliner")
    graph = ir.from_proto(proto).graph
    if any(v.dtype == ir.DataType.STRING for v in (*graph.inputs, *graph.outputs, *graph.initializers.values())):
        raise no_kernel(proto, "strings have no representation in a kernel")
    for node in graph:
        if node.op_type in NEVER_RIGHT:
            raise no_kernel(proto, f"{node.op_type}: {NEVER_RIGHT[node.op_type]}", node=node.name)
        if (why := trapped(node)) is not None:
            raise no_kernel(proto, f"TVM's importer does not get this right: {why}", node=node.name)


def no_kernel(
    proto: onnx.ModelProto, why: str, *, node: str | None = None, hint: str | None = None, code: str = "no-kernel"
) -> HetpartError:
    """The error that says that `proto`, one unit, has no CPU kernel."""
    ops = "+".join(n.op_type for n in proto.graph.node)
    name = node or (proto.graph.node[0].name if proto.graph.node else None)
    return HetpartError(code, f"no CPU kernel for {ops}: {why}", node=name or None, hint=hint)
